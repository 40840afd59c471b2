"""Which requests a server answers by the name that they ask for and the page that they come from."""

from __future__ import annotations

import sys
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from lib_lrsched.host import webui
from lib_lrsched.host.door import Door, is_this_machine

LOCAL = Door(local_only=True)
LOCAL_HOSTS = ["localhost", "localhost:7860", "LOCALHOST.:7860", "127.0.0.1", "127.0.0.1:7861", "127.8.9.1:1", "[::1]",
               "[::1]:7860", "sd.localhost:7860", "0.0.0.0:7860", "192.168.0.7:7860", ""]  # fmt: skip
STRANGE_HOSTS = ["evil.com", "evil.com:7860", "localhost.evil.com", "127.0.0.1.evil.com", "evillocalhost", "[evil.com]",
                 "localhost:7860.evil.com", "127.0.0.1:7860@evil.com", "[::1].evil.com", "1.2.3.4.5", ":7860",
                 "localhost:x"]  # fmt: skip


@pytest.mark.parametrize("name", LOCAL_HOSTS)
def test_a_server_of_this_machine_answers_to_its_names_and_to_addresses(name: str):
    assert LOCAL.refusal({"host": name}) == ""


@pytest.mark.parametrize("name", STRANGE_HOSTS)
@pytest.mark.parametrize("others", [
    {}, {"sec-fetch-site": "same-origin", "origin": "http://evil.com"}, {"x-forwarded-host": "localhost"},
    {"x-lrsched-page": "1", "origin": "http://evil.com:7860"},
])  # fmt: skip
def test_error_a_rebound_name_is_refused(name: str, others: dict[str, str]):
    said = LOCAL.refusal({"host": name, **others})
    assert said == (
        f"refused: the server listens on this machine only, and the request names the host {name!r}; open it as "
        f"127.0.0.1 or localhost, or start the WebUI with --cors-allow-origins http://{name}"
    )


@pytest.mark.parametrize("name", STRANGE_HOSTS)
def test_a_server_that_others_reach_or_that_asks_for_a_password_answers_to_any_name(name: str):
    assert Door().refusal({"host": name}) == ""
    assert LOCAL.refusal({"host": name}, signed_in=True) == ""


@pytest.mark.parametrize("headers", [
    {"sec-fetch-site": "same-origin"}, {"sec-fetch-site": "none"}, {"sec-fetch-site": "same-origin", "origin": "https://my.site"},
])  # fmt: skip
def test_a_tunnel_that_passes_its_own_name_on_is_known_by_what_only_browsers_send(headers: dict[str, str]):
    assert LOCAL.refusal({"host": "my.site", **headers}) == ""


def test_what_the_user_has_named_may_ask():
    for door in (Door(local_only=True, origins=frozenset({"http://my.site"})), Door(local_only=True, origin_regex=r"https?://my\.site")):
        assert door.refusal({"host": "my.site"}) == ""
        assert door.refusal({"host": "127.0.0.1:7860", "origin": "http://my.site", "sec-fetch-site": "cross-site"}) == ""
        assert door.refusal({"host": "evil.com"}) != ""
        assert door.refusal({"host": "127.0.0.1:7860", "origin": "http://my.site.evil.com", "sec-fetch-site": "cross-site"}) != ""


@pytest.mark.parametrize("origin", ["http://evil.com", "null", "", "http://[", "127.0.0.1:7860", "http://127.0.0.1",
                                    "http://127.0.0.1:7860.evil.com"])
def test_error_another_origin_is_refused(origin: str):
    assert LOCAL.refusal({"host": "127.0.0.1:7860", "origin": origin}) == (
        f"refused: the request comes from another page, {origin or 'of another site'}"
    )


@pytest.mark.parametrize(("address", "is_it"), [
    ("127.0.0.1", True), ("localhost", True), ("::1", True), ("[::1]", True), ("127.1.2.3", True), ("0.0.0.0", False), ("", False),
    ("192.168.0.2", False), ("my.host", False), ("::", False),
])  # fmt: skip
def test_which_addresses_only_this_machine_reaches(address: str, is_it: bool):
    assert is_this_machine(address) is is_it


def door_of(monkeypatch: pytest.MonkeyPatch, *, has_page: bool = True, **options: Any) -> Door:
    """What a WebUI that was started with these options gives."""
    modules = ModuleType("modules")
    modules.shared = SimpleNamespace(cmd_opts=SimpleNamespace(**options))  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "modules", modules)
    return webui.find_door(has_page=has_page)


@pytest.mark.parametrize(("options", "local_only"), [
    ({}, True), ({"listen": False, "share": False, "server_name": None, "ngrok": None, "subpath": None}, True),
    ({"server_name": "127.0.0.1"}, True), ({"server_name": "localhost"}, True), ({"listen": True}, False), ({"share": True}, False),
    ({"ngrok": "token"}, False), ({"server_name": "0.0.0.0"}, False), ({"server_name": "my.box"}, False),
    ({"subpath": "sd"}, False), ({"listen": True, "server_name": "127.0.0.1"}, False),
])  # fmt: skip
def test_the_webui_is_of_this_machine_only_unless_its_options_say_more(
    monkeypatch: pytest.MonkeyPatch, options: Any, local_only: bool
):
    monkeypatch.delenv("GRADIO_SERVER_NAME", raising=False)
    assert door_of(monkeypatch, **options).local_only is local_only


def test_gradios_own_variable_and_the_api_alone_count_too(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("GRADIO_SERVER_NAME", "0.0.0.0")
    assert not door_of(monkeypatch).local_only
    monkeypatch.delenv("GRADIO_SERVER_NAME")
    assert not door_of(monkeypatch, has_page=False).local_only, "uvicorn listens everywhere where it is given no name"
    assert door_of(monkeypatch, has_page=False, server_name="127.0.0.1").local_only


def test_the_api_alone_asks_for_its_credentials_and_the_page_for_its_own_login(monkeypatch: pytest.MonkeyPatch):
    assert door_of(monkeypatch, has_page=False, api_auth="me:secret,you:x").credentials == {"me": "secret", "you": "x"}
    assert door_of(monkeypatch, has_page=False, api_auth=None).credentials == {}
    assert door_of(monkeypatch, api_auth="me:secret").credentials == {}


def test_origins_that_the_webui_answers_to_are_trusted(monkeypatch: pytest.MonkeyPatch):
    named, pattern = "https://a.example,https://b.example", r"https://.*\.c\.example"
    door = door_of(monkeypatch, cors_allow_origins=named, cors_allow_origins_regex=pattern)
    assert all(map(door.trusts, ("https://a.example", "https://b.example", "https://x.c.example")))
    assert not any(map(door.trusts, ("https://c.example", "http://a.example", "", "null")))
    assert door_of(monkeypatch, cors_allow_origins="*").trusts("https://any.example")
