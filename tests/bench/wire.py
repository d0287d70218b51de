"""A fake upstream and a load generator on raw asyncio protocols, cheap enough never to be the bottleneck.

Run as a program it is the upstream: `python wire.py PORT PACE_S`. A body with `"stream":true` is answered with
`"max_tokens"` events and two more, for the role and for the end, each written on its own and `PACE_S` seconds
after the other; any other body with one completion.
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import cast

import uvloop

TOKENS = 64
HEAD = b"HTTP/1.1 200 OK\r\n"
IDENTITY = {"id": "chatcmpl-1", "created": 1_700_000_000, "model": "fake"}
USAGE = {"prompt_tokens": 9, "completion_tokens": TOKENS, "total_tokens": TOKENS + 9}


def _plain() -> bytes:
    message = {"role": "assistant", "content": "The answer is forty-two, as it has always been. " * 6}
    choice = {"index": 0, "message": message, "finish_reason": "stop", "logprobs": None}
    body = json.dumps({**IDENTITY, "object": "chat.completion", "choices": [choice], "usage": USAGE}).encode()
    return HEAD + b"content-type: application/json\r\ncontent-length: %d\r\n\r\n" % len(body) + body


def _events(tokens: int) -> list[bytes]:
    deltas = [{"role": "assistant", "content": ""}, *({"content": f" word{i}"} for i in range(tokens)), {}]
    frames: list[bytes] = []
    for index, delta in enumerate(deltas):
        last = index == tokens + 1
        choice = {"index": 0, "delta": delta, "finish_reason": "stop" if last else None, "logprobs": None}
        chunk = {**IDENTITY, "object": "chat.completion.chunk", "choices": [choice]}
        chunk |= {"usage": USAGE} if last else {}
        frames.append(_chunked(b"data: " + json.dumps(chunk).encode() + b"\n\n"))
    frames[-1] += _chunked(b"data: [DONE]\n\n") + b"0\r\n\r\n"
    return frames


def _chunked(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


PLAIN = _plain()
STREAM_HEAD = HEAD + b"content-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
FRAMES = {tokens: _events(tokens) for tokens in (1, TOKENS)}


class Upstream(asyncio.Protocol):
    """Answers one request after the other; reads no more of them than their length and whether they stream."""

    def __init__(self, pace_s: float) -> None:
        self._pace_s = pace_s
        self._seen = b""
        self._gone = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def connection_lost(self, exc: Exception | None) -> None:
        self._gone = True

    def data_received(self, data: bytes) -> None:
        self._seen += data
        head, found, body = self._seen.partition(b"\r\n\r\n")
        if not found or len(body) < _length(head):
            return
        self._seen = b""
        if b'"stream":true' in body or b'"stream": true' in body:
            self._transport.write(STREAM_HEAD)
            self._next(iter(FRAMES[TOKENS if b"%d" % TOKENS in body.rpartition(b"max_tokens")[2] else 1]))
        else:
            self._transport.write(PLAIN)

    def _next(self, frames: Iterator[bytes]) -> None:
        frame = next(frames, None)
        if frame is not None and not self._gone:
            self._transport.write(frame)
            asyncio.get_running_loop().call_later(self._pace_s, self._next, frames)


def _length(head: bytes) -> int:
    start = head.lower().find(b"content-length:")
    return int(head[start + 15 :].split(b"\r\n", 1)[0]) if start >= 0 else 0


@dataclass(slots=True)
class Load:
    """`total` requests to 127.0.0.1:`port`, spread over `connections` that ask one after the other."""

    port: int
    body: bytes
    total: int
    connections: int = 16
    bad: list[bytes] = field(default_factory=list)

    @property
    def request(self) -> bytes:
        head = b"POST /v1/chat/completions HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-type: application/json\r\n"
        return head + b"authorization: Bearer sk-bench\r\ncontent-length: %d\r\n\r\n" % len(self.body) + self.body

    async def run(self) -> float:
        """Ask; gives back the seconds it took. Raises RuntimeError for an answer that is not one."""
        loop = asyncio.get_running_loop()
        started = loop.time()
        share, rest = divmod(self.total, self.connections)
        askers = [_Asker(self, share + (index < rest)) for index in range(self.connections)]
        for asker in askers:
            await loop.create_connection(lambda asker=asker: asker, "127.0.0.1", self.port)
        await asyncio.wait_for(asyncio.gather(*(asker.done for asker in askers)), 120)
        if self.bad:
            raise RuntimeError(f"{len(self.bad)} bad answers, the first: {self.bad[0][:300]!r}")
        return loop.time() - started


class _Asker(asyncio.Protocol):
    def __init__(self, load: Load, count: int) -> None:
        self._load = load
        self._left = count
        self._seen = bytearray()
        self.done = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._ask()

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.done.done():
            self.done.set_exception(RuntimeError(f"the connection broke: {exc}; {bytes(self._seen[:300])!r}"))

    def data_received(self, data: bytes) -> None:
        self._seen += data
        if _ended(self._seen):
            if not self._seen.startswith(b"HTTP/1.1 200") or b"finish_reason" not in self._seen:
                self._load.bad.append(bytes(self._seen))
            self._ask()

    def _ask(self) -> None:
        self._seen.clear()
        if self._left:
            self._left -= 1
            self._transport.write(self._load.request)
        else:
            self.done.set_result(None)
            self._transport.close()


def _ended(seen: bytearray) -> bool:
    if seen.endswith(b"\r\n0\r\n\r\n"):
        return True
    end = seen.find(b"\r\n\r\n", 0, 8192)
    length = _length(bytes(seen[:end])) if end >= 0 and b"chunked" not in seen[:end].lower() else 0
    return bool(length) and len(seen) >= end + 4 + length


async def _serve(port: int, pace_s: float) -> None:
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Upstream(pace_s), "127.0.0.1", port, backlog=1024)
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(_serve(int(sys.argv[1]), float(sys.argv[2])))
