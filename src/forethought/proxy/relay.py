"""The plain relay: the upstream gets the caller's bytes, and the caller the upstream's."""

from __future__ import annotations

from collections.abc import Iterable

from starlette.types import Send

from ..errors import UpstreamError
from ..front import sse
from ..front.errors import failure_of
from .upstream import Answer, Relaying

PATH = "/chat/completions"
_REPLACED = frozenset({b"date", b"server"})
"""Headers that our own server writes."""


async def relay(upstream: Relaying, body: bytes, headers: Iterable[tuple[bytes, bytes]], send: Send) -> None:
    """Pass one request on and its answer back, piece by piece as it comes, whatever its status.

    An event stream that breaks off ends in an error event. Any other answer that breaks off is left
    incomplete, by which the caller can tell.
    """
    last, more = b"", True
    async with upstream.relay(PATH, body, headers) as answer:
        kept = [pair for pair in answer.headers if pair[0] not in _REPLACED]
        left = next((int(value) for name, value in kept if name == b"content-length"), -1)
        await send({"type": "http.response.start", "status": answer.status, "headers": kept})
        try:
            async for chunk in answer.chunks:
                left -= len(chunk)
                more = left != 0
                await send({"type": "http.response.body", "body": chunk, "more_body": more})
        except UpstreamError as broken:
            if not _takes_events(answer):
                return
            last = b"\n\n" + sse.data({"error": failure_of(broken).error})
    if more:
        await send({"type": "http.response.body", "body": last})


def _takes_events(answer: Answer) -> bool:
    headers = dict(answer.headers)
    streamed = headers.get(b"content-type", b"").startswith(b"text/event-stream")
    return streamed and not headers.keys() & {b"content-length", b"content-encoding"}
