"""The few ASGI moves of the front: read a body, send an answer, and stop working when the caller has gone."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Coroutine
from typing import Any, cast

from starlette.types import Receive, Scope, Send

from ..front.errors import Failure, Headers, Refused

JSON_TYPE = (b"content-type", b"application/json")
VERSION = (b"openai-version", b"2020-10-01")
PATIENCE_S = 0.02
"""How long a request goes on before anybody listens for its caller hanging up."""


class Gone(Exception):
    """The caller has hung up; there is nobody to tell."""


def header(scope: Scope, name: bytes) -> bytes | None:
    """The first header of this lower-case name."""
    return next((value for key, value in scope["headers"] if key == name), None)


def request_id() -> Headers:
    """Headers of an answer that is ours."""
    return [(b"x-request-id", b"req_" + secrets.token_hex(16).encode()), VERSION]


async def read_json_body(scope: Scope, receive: Receive, limit: int) -> bytes:
    """The whole body; raises Refused where it is not declared as JSON or is too large, Gone where it breaks off.

    The declaration matters beyond form: a web page can make a browser post anything to this server except
    `application/json`, for which the browser asks first.
    """
    kind = (header(scope, b"content-type") or b"").partition(b";")[0].strip().lower()
    if kind != b"application/json":
        got = kind.decode("latin-1") or "none"
        raise Refused(415, "unsupported_media_type", f"content-type: got {got!r}; 'application/json' is expected")
    if int(header(scope, b"content-length") or 0) > limit:
        raise _too_large(limit)
    return await _read(receive, limit)


async def send_whole(send: Send, status: int, body: bytes, headers: Headers) -> None:
    """Send an answer in one piece."""
    framing = (b"content-length", str(len(body)).encode())
    await send({"type": "http.response.start", "status": status, "headers": [*headers, framing]})
    await send({"type": "http.response.body", "body": body})


async def send_failure(send: Send, failure: Failure) -> None:
    """Send an error, before anything else was sent."""
    await send_whole(send, failure.status, failure.body, [*failure.headers, *request_id()])


async def while_connected(receive: Receive, work: Coroutine[Any, Any, None]) -> None:
    """Run `work`, and cancel it as soon as the caller hangs up; everything it began has ended when this returns.

    What is over within `PATIENCE_S` never pays for the task that listens; who left before is noticed then.
    """
    worker = cast("asyncio.Task[Any]", asyncio.current_task())
    listening: list[asyncio.Task[None]] = []
    loop = asyncio.get_running_loop()
    timer = loop.call_later(PATIENCE_S, lambda: listening.append(loop.create_task(_cancel_when_gone(receive, worker))))
    try:
        await work
    except asyncio.CancelledError:
        # As in asyncio.timeout: a cancellation that came from here ends here, any other goes on.
        if not (listening and listening[0].done() and worker.uncancel() == 0):
            raise
    finally:
        timer.cancel()
        for task in listening:
            task.cancel()


async def _cancel_when_gone(receive: Receive, worker: asyncio.Task[Any]) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
    worker.cancel()


async def _read(receive: Receive, limit: int) -> bytes:
    pieces: list[bytes] = []
    size = 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise Gone
        piece = message.get("body", b"")
        size += len(piece)
        if size > limit:
            raise _too_large(limit)
        pieces.append(piece)
        if not message.get("more_body", False):
            return b"".join(pieces)


def _too_large(limit: int) -> Refused:
    return Refused(413, "request_too_large", f"body: more than the {limit} bytes that this server accepts")
