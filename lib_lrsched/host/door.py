"""Who may ask the endpoints: pages of our own and programs, with the WebUI's credentials, under a name of this machine.

Two things a page of another site can do without being able to read an answer: send requests, which the browser marks as
coming from elsewhere, and give its own name the address of this machine ("DNS rebinding"), which only the Host header shows.
"""

from __future__ import annotations

import binascii
import ipaddress
import re
from base64 import b64decode
from collections.abc import Mapping
from dataclasses import dataclass, field
from secrets import compare_digest

PAGE_HEADER = "x-lrsched-page"
"""Our page sends it with every request. A page of another origin cannot: the browser asks the server first, and it says no."""

ANY = "*"


@dataclass(frozen=True)
class Door:
    """How strict to be.

    Attributes:
        local_only: the server listens on this machine only, so that its name in a request is one of this machine.
        origins: other origins whose pages may ask, such as "https://my.site"; "*" for all. The user has named them.
        origin_regex: a pattern of such origins, or empty.
        credentials: passwords by user, of which a request needs one; empty where it needs none.
    """

    local_only: bool = False
    origins: frozenset[str] = frozenset()
    origin_regex: str = ""
    credentials: Mapping[str, str] = field(default_factory=dict)

    def knows(self, authorization: str) -> bool:
        """Whether an Authorization header ("Basic ...") holds one of the credentials."""
        scheme, _, encoded = authorization.partition(" ")
        if scheme.lower() != "basic":
            return False
        try:
            user, colon, password = b64decode(encoded.strip(), validate=True).decode().partition(":")
        except (binascii.Error, ValueError):
            return False
        expected = self.credentials.get(user)
        return bool(colon) and expected is not None and compare_digest(password.encode(), expected.encode())

    def trusts(self, origin: str) -> bool:
        """Whether the user has said that pages of this origin may ask."""
        if ANY in self.origins or origin in self.origins:
            return True
        return bool(self.origin_regex) and re.fullmatch(self.origin_regex, origin) is not None

    def is_strange(self, headers: Mapping[str, str]) -> bool:
        """Whether a request to a server of this machine only names another host than this machine: DNS rebinding.

        A proxy or tunnel that passes its own name on is known by Sec-Fetch-Site: browsers send it over https and to this
        machine alone, no page can forge it, and a rebound name has no certificate.
        """
        host = headers.get("host", "")
        if not self.local_only or not host or _is_local(host):
            return False
        origin, relation = headers.get("origin"), headers.get("sec-fetch-site")
        if relation in ("same-origin", "none") and (origin is None or origin.startswith("https://")):
            return False
        return not any(self.trusts(f"{scheme}://{host}") for scheme in ("http", "https"))

    def is_foreign(self, headers: Mapping[str, str]) -> bool:
        """Whether a page of another origin asks.

        A browser names the page's origin where a request is not a plain GET, and over https or on this machine how it relates to
        ours; programs name neither. Behind a proxy the host that the browser knows is in X-Forwarded-Host, where the proxy is
        set up to say so; else our page is known by its own header.
        """
        origin = headers.get("origin")
        if origin is not None and self.trusts(origin):
            return False
        relation = headers.get("sec-fetch-site")  # no page can forge it
        if relation is not None:
            return relation not in ("same-origin", "none")
        if origin is None or PAGE_HEADER in headers:
            return False
        known = f"{headers.get('host', '')},{headers.get('x-forwarded-host', '')}".split(",")
        named = origin.partition("://")[2]  # empty for the origin "null"
        return not named or named not in {host.strip() for host in known}

    def refusal(self, headers: Mapping[str, str], *, signed_in: bool = False) -> str:
        """Why a request is not answered; empty where it is.

        Args:
            signed_in: with a password, which a page under a rebound name has not.
        """
        if not signed_in and self.is_strange(headers):
            host = headers["host"]
            return (
                f"refused: the server listens on this machine only, and the request names the host {host!r}; open it as "
                f"127.0.0.1 or localhost, or start the WebUI with --cors-allow-origins http://{host}"
            )
        if self.is_foreign(headers):
            return f"refused: the request comes from another page, {headers.get('origin') or 'of another site'}"
        return ""


OPEN = Door()
"""Asks for no name and no credentials; pages of other origins are refused all the same."""


def is_this_machine(address: str) -> bool:
    """Whether a server that listens on this address is reached from this machine only."""
    name = address.strip().strip("[]").lower().rstrip(".")
    if name == "localhost":
        return True
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False


def _is_local(host: str) -> bool:
    """Whether a Host header is a name that no other site can own: localhost and what is below it, or an address.

    An address is not a name, so that nobody can have it point elsewhere: it comes from a forwarded port.
    """
    match = re.fullmatch(r"(\[[0-9a-fA-F:.]+\]|[^:\[\]]+)(:[0-9]*)?", host.strip())
    if match is None:
        return False
    name = match[1].strip("[]").lower().rstrip(".")
    if name == "localhost" or name.endswith(".localhost"):
        return True
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True
