"""The trainings behind docs/evidence.md: their rows, what is kept of them, and in short that the page's signs come out again."""

from __future__ import annotations

import json
from concurrent.futures.process import BrokenProcessPool
from itertools import chain
from pathlib import Path
from statistics import median

import pytest

pytest.importorskip("torch")

from practice_tools.evidence import rows  # torch is optional
from practice_tools.evidence.measuring import Evidence, stored_rates
from practice_tools.evidence.page import TABLES
from practice_tools.evidence.results import Results, difference, summary

from lib_lrsched.schedule.plan import plan

PAGE = Path(__file__).parents[2] / "docs" / "evidence.md"
SEEDS = range(1000, 1004)


def every_row() -> list[rows.Row]:
    rates = stored_rates()
    made = (rows.choosing(), rows.schedules(rates["best"]), rows.same_rate(), rows.options(rates["best"]),
            rows.finder(rates["best"]), rows.range_tests(), rows.cycles(rates["tops"]), rows.long_cycles(rates["tops"]))
    return list(chain.from_iterable(made))


def test_every_row_can_be_planned_to_its_last_update_and_none_has_another_ones_name():
    found = every_row()
    assert len({row.name for row in found}) == len(found)
    for row in found:
        made = plan(row.text, total_steps=row.updates)
        assert made.stop >= row.updates, row.text
        assert max(made.values(range(row.updates))) > 0


def test_each_schedule_is_at_its_peak_where_the_row_says_so():
    for schedule, text in rows.SCHEDULES.items():
        values = plan(text(0.01), total_steps=rows.UPDATES).values(range(rows.UPDATES))
        assert max(values) == pytest.approx(0.01, rel=1e-3), schedule


def test_cycles_end_at_the_bottom():
    for row in rows.cycles({"embedding": 0.05, "hypernetwork": 0.003}):
        if "all images" in row.name and "constant" not in row.name:
            values = plan(row.text, total_steps=row.updates).values(range(row.updates))
            assert values[0] > 0.9 * max(values)
            assert values[-1] < 0.03 * max(values)


def test_what_was_measured_is_found_again_and_a_line_that_was_cut_off_is_measured_again(tmp_path):
    path = tmp_path / "results.jsonl"
    row, other = list(rows.choosing())[:2]
    results = Results(path)
    results.add(row, 1000, {"closed": 0.5, "average": None, "text": row.text, "seconds": 1.0})
    results.add(row, 1001, {"closed": 0.7, "average": 0.25, "text": row.text, "seconds": 1.0})
    with path.open("a") as file:
        file.write(json.dumps({"definition": other.definition, "seed": 1000})[:-5])
    again = Results(path)
    assert again.values(row, [1000, 1001, 1002]) == pytest.approx([50.0, 70.0])
    assert again.values(row, [1000, 1001], "average") == [-100.0, 25.0]
    assert not again.has(other, 1000)
    again.add(other, 1000, {"closed": 0.1, "text": other.text, "seconds": 1.0})
    assert Results(path).values(other, [1000]) == pytest.approx([10.0])


def test_a_repetition_with_other_seeds_keeps_those_that_choose(tmp_path):
    evidence = Evidence(Results(tmp_path / "results.jsonl"), 1, choose=False, first_seed=7000)
    row = next(iter(rows.schedules(stored_rates()["best"])))
    assert evidence.seeds(row) == list(range(7000, 7030))
    assert evidence.seeds(next(iter(rows.choosing()))) == list(rows.CHOOSING_SEEDS)


def test_where_a_process_dies_the_trainings_that_it_left_are_made(tmp_path, monkeypatch):
    row = next(iter(rows.choosing()))
    evidence = Evidence(Results(tmp_path / "results.jsonl"), 1, choose=False)
    asked = []

    def one_and_death(jobs, bar):
        asked.append(len(jobs))
        evidence.results.add(*jobs[0], {"closed": 0.5, "text": row.text, "seconds": 1.0})
        raise BrokenProcessPool

    monkeypatch.setattr(evidence, "_make", one_and_death)
    evidence.run([row])
    assert asked == [6, 5, 4, 3, 2, 1]


def test_error_processes_that_die_again_and_again(tmp_path, monkeypatch):
    evidence = Evidence(Results(tmp_path / "results.jsonl"), 1, choose=False)
    monkeypatch.setattr(evidence, "_make", lambda jobs, bar: (_ for _ in ()).throw(BrokenProcessPool))
    with pytest.raises(BrokenProcessPool):
        evidence.run([next(iter(rows.choosing()))])


def test_the_page_has_a_place_for_each_table_and_states_the_rates_that_are_stored():
    text = PAGE.read_text(encoding="utf-8")
    for name in TABLES:
        assert text.count(f"<!-- evidence: {name} -->\n") == 1, name
        assert f"<!-- evidence: {name} -->\n| " in text, name
    for schedule, rate in stored_rates()["best"].items():
        assert f"| {schedule} | {rate:.2g} |" in text


@pytest.mark.long
def test_the_signs_come_out_again(tmp_path):
    """Four seeds of a few rows: what a decay forgives, what the average does, and what the finder saves."""
    from practice_tools.evidence.training import Bench

    bench = Bench(tmp_path)
    best = stored_rates()["best"]
    made = {row.name: row for row in chain(rows.choosing(), rows.schedules(best), rows.finder(best))}

    def values(name: str) -> list[dict[str, float]]:
        return [bench.measure(made[name], seed) for seed in SEEDS]

    constant = values("constant, its best rate")
    wrong, decays = values("constant, 0.079"), values("warm-up and cosine, 0.079")  # ten times the constant's best
    assert summary([100 * one["closed"] for one in constant]).mean > 75
    assert difference([one["closed"] for one in decays], [one["closed"] for one in wrong]).mean > 0
    assert difference([one["average"] for one in constant], [one["closed"] for one in constant]).mean > 0
    lost, saved = values("100 times too high, as it is"), values("100 times too high, the finder in front")
    assert median(one["closed"] for one in saved) > 0.7 > max(one["closed"] for one in lost)  # for a seed it may suggest nothing
