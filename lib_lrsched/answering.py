"""The manner of every endpoint: one form of refusal, a login where the WebUI has one, no orders from other pages.

It knows no endpoint.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from math import isfinite
from typing import Any
from urllib.parse import urlsplit

from fastapi import Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from starlette.exceptions import HTTPException as StarletteHTTPException

from .errors import ConflictError, RequestError, RunStateError, ScheduleError
from .exported import ExportError
from .imported import ImportFormatError
from .store import PresetError, UnknownRunError

_WITHOUT_EFFECT = re.compile(r"/v1/(preview|export|import|items|edit|preflight)$")
_PRESET_STATUS = {"wrong": 400, "missing": 404, "conflict": 409}


class Route(APIRoute):
    """Gives every refusal the one form, and asks for gradio's login where the app has one."""

    def get_route_handler(self) -> Callable[[Request], Any]:
        handle = super().get_route_handler()

        async def guarded(request: Request) -> Response:
            if not _signed_in(request):
                return error_answer(401, "sign in to the WebUI first")
            if _is_foreign(request):
                return error_answer(403, f"refused: the request comes from another page, {request.headers['origin']}")
            try:
                return await handle(request)
            except RequestValidationError as error:
                first = error.errors()[0]
                return error_answer(400, f"{'.'.join(map(str, first['loc']))}: {first['msg']}")
            except StarletteHTTPException as error:
                return error_answer(error.status_code, str(error.detail))
            except ConflictError as error:
                return error_answer(409, error.message)
            except (RequestError, ImportFormatError) as error:
                return error_answer(400, error.message)
            except (ScheduleError, ExportError) as error:
                return error_answer(400, error.message, error.span)
            except PresetError as error:
                return error_answer(_PRESET_STATUS[error.why], error.message)
            except UnknownRunError as error:
                return error_answer(404, str(error))
            except (RunStateError, OSError) as error:
                return error_answer(500, str(error))

        return guarded


class Answer(Response):
    """JSON for any browser: numbers that are not finite become null, characters outside ASCII are escaped.

    (starlette's own answer fails on both a NaN and half a surrogate pair, which a request may well send.)
    """

    media_type = "application/json"

    def render(self, content: Any) -> bytes:
        """Writes the JSON; the search for what is not finite is made only where there is something."""
        try:
            text = json.dumps(content, allow_nan=False, separators=(",", ":"))
        except ValueError:
            text = json.dumps(_finite(content), allow_nan=False, separators=(",", ":"))
        return text.encode()


def error_answer(status: int, message: str, span: tuple[int, int] | None = None) -> Response:
    """The one form of every refusal."""
    return Answer({"error": {"message": message, "span": span}}, status_code=status)


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _finite(one) for name, one in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(one) for one in value]
    return None if isinstance(value, float) and not isfinite(value) else value


def an_object(body: object) -> dict[str, Any]:
    if not isinstance(body, dict):
        raise RequestError("expected a JSON object, sent as application/json")
    return body


def _signed_in(request: Request) -> bool:
    """gradio keeps its logins in the app; routes added to it are not guarded by themselves."""
    if getattr(request.app, "auth", None) is None:
        return True
    cookies = request.cookies
    token = cookies.get("access-token") or cookies.get("access-token-unsecure")
    return token in request.app.tokens


def _is_foreign(request: Request) -> bool:
    """Whether a page of another origin sends something that could change what is stored.

    A browser names the page's origin, and over https or on this machine how it relates to ours; programs name none.
    Behind a proxy the host that the browser knows is in X-Forwarded-Host, where the proxy is set up to say so.
    """
    origin = request.headers.get("origin")
    if request.method in ("GET", "HEAD", "OPTIONS") or origin is None:
        return False
    if _WITHOUT_EFFECT.search(request.url.path):  # a page of another origin cannot read the answers
        return False
    relation = request.headers.get("sec-fetch-site")  # no page can forge it
    if relation is not None:
        return relation not in ("same-origin", "none")
    known = f"{request.headers.get('host', '')},{request.headers.get('x-forwarded-host', '')}".split(",")
    named = urlsplit(origin).netloc  # empty for the origin "null"
    return not named or named not in {host.strip() for host in known}
