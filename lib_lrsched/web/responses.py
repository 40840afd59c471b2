"""The manner of every endpoint: one form of refusal, logins, bodies within bounds, nothing for other pages."""

from __future__ import annotations

import json
import logging
from collections.abc import AsyncGenerator, Callable
from itertools import chain
from math import isfinite
from typing import Any, get_type_hints

from fastapi import HTTPException, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from pydantic import BaseModel, ValidationError
from starlette.exceptions import HTTPException as StarletteHTTPException
from starlette.requests import ClientDisconnect

from lib_lrsched.errors import ConflictError, RequestError, RunStateError, ScheduleError
from lib_lrsched.formats.export_result import ExportError
from lib_lrsched.formats.import_result import ImportFormatError
from lib_lrsched.host.door import OPEN, Door
from lib_lrsched.storage.profiles import ProfileError
from lib_lrsched.storage.store import PresetError, UnknownRunError

from . import requests

_PRESET_STATUS = {"wrong": 400, "missing": 404, "conflict": 409}
logger = logging.getLogger(__name__)

LARGEST_BODY_BYTES = 1 << 20
"""Of a request in JSON. Python reads no more than some ten megabytes of it in a second, and all others wait."""

DEEPEST = 64
MOST_DIGITS = 300
"""What a float can hold has 309."""


class Route(APIRoute):
    """Gives every refusal the one form, bounds what is read, and lets in whom the app's door lets in."""

    def get_route_handler(self) -> Callable[[Request], Any]:
        handle = super().get_route_handler()

        async def guarded(request: Request) -> Response:
            refusal = _refused(request)
            if refusal is not None:
                return refusal
            try:
                return await handle(BoundedRequest(request.scope, request.receive))
            except (RequestValidationError, ValidationError) as error:
                return error_answer(400, self._refusal(error, request))
            except StarletteHTTPException as error:
                return error_answer(error.status_code, str(error.detail))
            except ConflictError as error:
                return error_answer(409, error.message)
            except (RequestError, ImportFormatError) as error:
                return error_answer(400, error.message)
            except (ScheduleError, ExportError) as error:
                return error_answer(400, error.message, error.span)
            except (PresetError, ProfileError) as error:
                return error_answer(_PRESET_STATUS[error.why], error.message)
            except UnknownRunError as error:
                return error_answer(404, str(error))
            except (RunStateError, OSError) as error:
                return error_answer(500, str(error))
            except Exception as error:
                # A mistake of ours, at the boundary to the host's server: said once, with all that finds it.
                logger.exception("LR Schedule: %s %s failed", request.method, request.url.path)
                what = f"{type(error).__name__}: {error}"[:200]
                why = f"the request failed because of a bug in the extension ({what}); its traceback is on the console"
                return error_answer(500, why)

        return guarded

    def _refusal(self, error: RequestValidationError | ValidationError, request: Request) -> str:
        """What to say of the first value that does not fit its model.

        An address is looked at by FastAPI or, with pydantic 2, by its model alone, which does not say "query".
        """
        models = [hint for hint in get_type_hints(self.endpoint).values() if isinstance(hint, type) and issubclass(hint, BaseModel)]
        place: tuple[Any, ...] = error.errors()[0]["loc"]
        if isinstance(error, RequestValidationError) and place[0] == "body":
            return requests.refusal(models, place, error.body)
        return requests.refusal(models, ("query", place[-1]), request.query_params)


class BoundedRequest(Request):
    """A request whose JSON is looked at before it is believed: its length before it is read, its depth, its numbers."""

    async def stream(self) -> AsyncGenerator[bytes, None]:
        """Its bytes as they come.

        Raises:
            HTTPException: 400, it broke off; nobody reads the answer, and it is not a mistake of ours.
        """
        try:
            async for block in super().stream():
                yield block
        except ClientDisconnect as error:
            raise HTTPException(400, "the request was interrupted before its end") from error

    async def body(self) -> bytes:
        """Its bytes.

        Raises:
            HTTPException: 413, there are more than LARGEST_BODY_BYTES.
        """
        if not hasattr(self, "_body"):
            check_size(self.headers.get("content-length", "0"), LARGEST_BODY_BYTES)
            read = bytearray()
            async for block in self.stream():
                read += block
                check_size(len(read), LARGEST_BODY_BYTES)
            self._body = bytes(read)
        return self._body

    async def json(self) -> Any:
        """The object that they hold.

        Raises:
            HTTPException: 400, no JSON, no object, or one that nobody has a use for.
        """
        too_deep = HTTPException(400, f"expected JSON that is nested at most {DEEPEST} deep")
        try:
            value = json.loads(await self.body(), parse_int=_whole)
        except RecursionError as error:
            raise too_deep from error
        except (json.JSONDecodeError, UnicodeDecodeError) as error:
            raise HTTPException(400, f"{requests.NO_OBJECT}, not valid JSON: {error}") from error
        if _is_deeper(value, DEEPEST):
            raise too_deep
        if not isinstance(value, dict):  # pydantic 1 would make one of a list of pairs
            raise HTTPException(400, requests.NO_OBJECT)
        return value


def check_size(size_bytes: int | str, most_bytes: int) -> None:
    """Looks at the length of a body: as the header says, before it is read, or as it is counted.

    Raises:
        HTTPException: 413, it is too large.
    """
    try:
        is_larger = int(size_bytes) > most_bytes
    except ValueError:
        return  # the server has its own word for such a header, and what comes is counted
    if is_larger:
        raise HTTPException(413, f"expected a body of at most {most_bytes >> 20} MiB")


def _whole(digits: str) -> int:
    if len(digits) > MOST_DIGITS:
        raise HTTPException(400, f"expected numbers of at most {MOST_DIGITS} digits, got one of {len(digits)}")
    return int(digits)


def _is_deeper(value: Any, limit: int) -> bool:
    """Whether lists and objects in a value are nested deeper; without recursion."""
    level = [value] if isinstance(value, (dict, list)) else []
    for _ in range(limit):
        held = chain.from_iterable(one.values() if isinstance(one, dict) else one for one in level)
        level = [one for one in held if isinstance(one, (dict, list))]
        if not level:
            return False
    return True


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


def _refused(request: Request) -> Response | None:
    """The answer to whom the door does not let in."""
    door: Door = getattr(request.app.state, "lrsched_door", OPEN)
    if door.credentials and not door.knows(request.headers.get("authorization", "")):
        answer = error_answer(401, "expected the user and password of the WebUI's --api-auth")
        answer.headers["WWW-Authenticate"] = "Basic"
        return answer
    has_login = getattr(request.app, "auth", None) is not None
    if has_login and not _signed_in(request):
        return error_answer(401, "sign in to the WebUI first")
    refusal = door.refusal(request.headers, signed_in=has_login or bool(door.credentials))
    return error_answer(403, refusal) if refusal else None


def _signed_in(request: Request) -> bool:
    """gradio keeps its logins in the app; routes added to it are not guarded by themselves."""
    cookies = request.cookies
    token = cookies.get("access-token") or cookies.get("access-token-unsecure")
    return token in request.app.tokens
