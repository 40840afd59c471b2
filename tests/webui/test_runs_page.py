"""Runs in the page of a real WebUI: three are judged, last week's is found, its settings are used again, its files are tidied."""

from __future__ import annotations

import csv
import getpass
from pathlib import Path

import pytest

pytest.importorskip("httpx", reason="httpx is not installed")
pytest.importorskip("playwright.sync_api", reason="playwright is not installed")

import compare_steps
import train_journeys
from playwright.sync_api import Browser, Page, expect
from webui_api import SIDE, Api
from webui_page import OURS, choose, choose_train_tab, open_ours, open_page, opened

pytestmark = pytest.mark.webui
RATES = {"judged low": "1e-5", "judged right": "cosine(0.005, 1e-4)", "judged high": "0.05"}
STEPS, EVERY, LEAST = 12, 4, 2


@pytest.fixture(scope="module")
def trained(api: Api) -> list[str]:
    """Three embeddings with preview images; the random checkpoint learns next to nothing, so no rate is right."""
    for name, rate in RATES.items():
        api.create("embedding", name)
        api.post("/lrsched/v1/options", {"kind": "embedding", "name": name, "options": {"progress_every": 1, "validate_every": 4}})
        said = api.train("embedding", name, rate, STEPS, create_image_every=EVERY)
        assert "error: None" in said, said
    return list(RATES)


def test_three_runs_are_judged(api: Api, browser: Browser, trained: list[str], tmp_path: Path):
    with opened(browser, api.webui.url) as page:
        open_page(page)
        open_ours(page)
        compare_steps.tick(page, *trained)
        compare_steps.compare(page, 3)
        for field in ("progress_end", "validation_best"):
            compare_steps.sort_by(page, field, "descending")
            ranked = compare_steps.ranking(page)
            assert sorted(ranked) == sorted(trained)
            shares = {run["name"]: run[field] for name in trained for run in api.runs(name)}
            assert [shares[name] for name in ranked] == sorted(shares.values(), reverse=True)
        expect(page.locator(compare_steps.SETTINGS, has_text="Learning rate").locator("td")).to_have_text(list(RATES.values()))
        first, last = compare_steps.images_at(page, "Home"), compare_steps.images_at(page, "End")
        assert len(first) == len(last) == 3
        assert first != last
        images = page.locator(f"{compare_steps.FIGURES} img")
        expect(images).to_have_count(3)
        images.evaluate_all("all => Promise.all(all.map((one) => one.decode()))")  # raises where one is broken
        files_are_whole(page, api, tmp_path)


def files_are_whole(page: Page, api: Api, tmp_path: Path) -> None:
    """What is exported has the three runs, and no path and no name of a person."""
    table = list(csv.DictReader(compare_steps.exported(page, "csv", tmp_path / "runs.csv").read_text().splitlines()))
    assert {row["name"]: row["rate_text"] for row in table} == RATES
    html = compare_steps.exported(page, "html", tmp_path / "comparison.html").read_text()
    assert html.count("data:image/") >= 3 * LEAST
    for text in (html, (tmp_path / "runs.csv").read_text()):
        assert not [word for word in (str(api.logs), str(api.images), str(Path.home()), f"/{getpass.getuser()}/") if word in text]
    assert compare_steps.exported(page, "png", tmp_path / "comparison.png").stat().st_size > 10_000


def test_last_weeks_run_is_found(api: Api, browser: Browser, trained: list[str]):
    with opened(browser, api.webui.url) as page:
        open_page(page)
        open_ours(page)
        compare_steps.find(page, "judged low")
        compare_steps.open_first(page)
        compare_steps.call_it(page, "the heron by the lake", "too pale")
        compare_steps.find(page, "pale heron", kind="embedding", state="finished")
        expect(page.locator(f"{compare_steps.ROWS} .lrsched-run-name")).to_have_text(["the heron by the lake"])
        open_page(page)
        open_ours(page)
        expect(page.locator(f"{compare_steps.ROWS} .lrsched-run-name")).to_have_text(["the heron by the lake"])
        expect(page.locator("#lrsched_run_title")).to_contain_text("judged low")


def test_its_settings_are_taken_up(api: Api, browser: Browser, trained: list[str]):
    name = trained[1]
    with opened(browser, api.webui.url) as page:
        open_page(page)
        choose_train_tab(page, "Train")
        page.click("#refresh_train_embedding_name")
        train_journeys.fill_from_run(page, name, SIDE, RATES[name])
        expect(page.locator("#train_dataset_directory textarea")).to_have_value(str(api.images))
        expect(page.locator("#train_steps input")).to_have_value(str(STEPS))
        train_journeys.keep_and_load(page, f"{OURS} journey", SIDE)
        train_journeys.replace_and_delete(page, f"{OURS} journey")
        choose(page, page.locator("#train_embedding input"), name)
