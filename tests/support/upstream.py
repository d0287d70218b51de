"""A real OpenAI-compatible server on 127.0.0.1 that answers by script and records what reaches it.

    async with Upstream(says("42", reasoning="6 times 7")) as upstream:
        ...                        # POST to upstream.base_url + "/chat/completions"
    upstream.requests[0].json      # what was asked, upstream.requests[0].body its bytes
    upstream.live                  # requests being answered right now
    upstream.aborted               # answers whose client went away before their end

Answers are given in turn and then from the start again. An answer is a function from the request to the
parts of a response, so the same `says("42")` serves streamed and plain requests.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import math
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from http import HTTPStatus
from typing import Any, Self, TypeAlias

Part: TypeAlias = bytes | float
"""Bytes to send at once, or seconds to wait; `SILENCE` waits until the client goes away."""

SILENCE = math.inf
SSE = {"content-type": "text/event-stream"}
JSON = {"content-type": "application/json"}


@dataclass(frozen=True, slots=True)
class Received:
    """A request as it came: header names in lower case, the body byte for byte."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def streamed(self) -> bool:
        return bool(self.body) and bool(self.json.get("stream"))


@dataclass(frozen=True, slots=True)
class Response:
    """What is sent back after `delay` seconds; a `cut` one breaks the connection instead of ending the body."""

    parts: Sequence[Part] = ()
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    cut: bool = False
    delay: float = 0.0


Answer: TypeAlias = Callable[[Received], Response]


def says(
    text: str = "42",
    *,
    reasoning: str = "",
    reasoning_field: str = "reasoning_content",
    tool_calls: Sequence[Mapping[str, Any]] = (),
    logprobs: bool = False,
    finish: str = "stop",
    usage: Mapping[str, Any] | None = None,
    headers: Mapping[str, str] | None = None,
    pause: float = 0.0,
    **fields: Any,
) -> Answer:
    """A completion, streamed word by word where the request asks for it; `fields` go into the response's top level."""
    pieces = [{reasoning_field: word} for word in words(reasoning)]
    pieces += [{"content": word} for word in words(text)]
    pieces += [{"tool_calls": [{"index": index, **call}]} for index, call in enumerate(tool_calls)]
    counts = usage or usage_of(words(reasoning), words(text))
    frame = {"id": "chatcmpl-1", "created": 1_700_000_000, "model": "fake", **fields}

    def answer(request: Received) -> Response:
        if not request.streamed:
            message = {"role": "assistant", "content": text or None}
            message |= {reasoning_field: reasoning} if reasoning else {}
            message |= {"tool_calls": list(tool_calls)} if tool_calls else {}
            choice = {"index": 0, "message": message, "finish_reason": finish, "logprobs": None}
            if logprobs:
                choice["logprobs"] = {"content": [logprob_of(word) for word in words(text)]}
            body = {**frame, "object": "chat.completion", "choices": [choice], "usage": counts}
            return Response([json.dumps(body).encode()], headers={**JSON, **(headers or {})})
        chunks = [chunk({"role": "assistant", "content": ""}, **frame)]
        for piece in pieces:
            probs = [logprob_of(word) for word in piece.values()] if logprobs and "content" in piece else None
            chunks.append(chunk(piece, logprobs=probs and {"content": probs}, **frame))
        chunks.append(chunk({}, finish=finish, **frame))
        if (request.json.get("stream_options") or {}).get("include_usage"):
            chunks.append({**chunk({}, **frame), "choices": [], "usage": counts})
        return Response([*_paced(map(event, chunks), pause), DONE], headers={**SSE, **(headers or {})})

    return answer


def streams(*parts: Part | Mapping[str, Any], cut: bool = False, headers: Mapping[str, str] = SSE) -> Answer:
    """An event stream of exactly these parts; a mapping is sent as one `data:` event."""
    rendered = [event(part) if isinstance(part, Mapping) else part for part in parts]
    return lambda _request: Response(rendered, headers=headers, cut=cut)


def raw(body: bytes, status: int = 200, **headers: str) -> Answer:
    """Exactly these bytes; underscores in header names stand for dashes."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return lambda _request: Response([body], status, named)


def fails(status: int, message: str = "no", **headers: str) -> Answer:
    """An error in the OpenAI shape; `retry_after="1"` and the like become headers."""
    body = {"error": {"message": message, "type": "server_error", "param": None, "code": None}}
    return raw(json.dumps(body).encode(), status, content_type="application/json", **headers)


def late(seconds: float, answer: Answer) -> Answer:
    """The same answer, not even its status sent before `seconds` are over (`SILENCE`: never)."""
    return lambda request: replace(answer(request), delay=seconds)


def words(text: str) -> list[str]:
    """The pieces that `says` streams a text in."""
    return re.findall(r"\s*\S+\s*$|\s*\S+|\s+$", text)


def chunk(delta: Mapping[str, Any], *, finish: str | None = None, **fields: Any) -> dict[str, Any]:
    """One chat.completion.chunk with one choice."""
    logprobs = fields.pop("logprobs", None)
    choice = {"index": 0, "delta": delta, "finish_reason": finish, "logprobs": logprobs}
    return {**fields, "object": "chat.completion.chunk", "choices": [choice]}


def event(value: Mapping[str, Any]) -> bytes:
    return b"data: " + json.dumps(value).encode() + b"\n\n"


DONE = b"data: [DONE]\n\n"


def logprob_of(word: str) -> dict[str, Any]:
    top = [{"token": word, "logprob": -0.5, "bytes": None}, {"token": "?", "logprob": -1.5, "bytes": None}]
    return {"token": word, "logprob": -0.5, "bytes": None, "top_logprobs": top}


def usage_of(reasoning: Sequence[str], answer: Sequence[str], prompt: int = 7) -> dict[str, Any]:
    """Usage that counts a word as a token."""
    written = len(reasoning) + len(answer)
    return {
        "prompt_tokens": prompt,
        "completion_tokens": written,
        "total_tokens": prompt + written,
        "completion_tokens_details": {"reasoning_tokens": len(reasoning)},
        "prompt_tokens_details": {"cached_tokens": 0},
    }


def _paced(parts: Iterable[bytes], pause: float) -> list[Part]:
    return [step for part in parts for step in ((pause, part) if pause else (part,))]


MODELS = {"object": "list", "data": [{"id": "fake", "object": "model", "created": 0, "owned_by": "tests"}]}


class Upstream:
    """The server; open while its `async with` block is."""

    def __init__(self, *answers: Answer) -> None:
        self.requests: list[Received] = []
        self.live = 0
        self.aborted = 0
        self.connections = 0
        self.base_url = ""
        self._tasks: set[asyncio.Task[None]] = set()
        self.script(*(answers or (says(),)))

    def script(self, *answers: Answer) -> None:
        """Answer the next request with the first of these, and so on, round and round."""
        self._answers = itertools.cycle(answers)

    async def quiet(self, within: float = 5.0) -> bool:
        """Wait until no request is live; False where one still is after `within` seconds."""
        for _ in range(int(within / 0.005)):
            if not self.live:
                return True
            await asyncio.sleep(0.005)
        return False

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0, limit=1 << 26, backlog=1024)
        host, port = self._server.sockets[0].getsockname()
        self.base_url = f"http://{host}:{port}/v1"
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._server.wait_closed()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        self.connections += 1
        try:
            early: bytes | None = b""
            while early is not None:
                early = await self._serve_one(early, reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass
        finally:
            self._tasks.discard(task)
            writer.close()
            with contextlib.suppress(ConnectionError, asyncio.CancelledError):
                await writer.wait_closed()

    async def _serve_one(
        self, early: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> bytes | None:
        """Answer one request; returns what was already read of the next one, None at the end of the connection."""
        request = await _read(early, reader)
        self.requests.append(request)
        models = raw(json.dumps(MODELS).encode(), content_type="application/json")
        answer = models if request.method == "GET" else next(self._answers)
        self.live += 1
        sending = asyncio.ensure_future(_send(writer, answer(request)))
        next_byte = asyncio.ensure_future(reader.read(1))
        try:
            await asyncio.wait((sending, next_byte), return_when=asyncio.FIRST_COMPLETED)
            gone = not sending.done() and (next_byte.exception() is not None or next_byte.result() == b"")
            self.aborted += gone
            if gone or not await sending:
                return None
        finally:
            self.live -= 1
            for task in (sending, next_byte):
                task.cancel()
            await asyncio.gather(sending, next_byte, return_exceptions=True)
        return b"" if next_byte.cancelled() else next_byte.result() or None


async def _read(early: bytes, reader: asyncio.StreamReader) -> Received:
    head = (early + await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
    method, path, _ = head[0].split(" ", 2)
    pairs = (line.partition(":") for line in head[1:] if line)
    headers = {name.lower(): value.strip() for name, _, value in pairs}
    body = await reader.readexactly(int(headers.get("content-length", 0)))
    return Received(method, path, headers, body)


async def _send(writer: asyncio.StreamWriter, response: Response) -> bool:
    """Send all of a response; whether the connection can be used again."""
    await _sleep(response.delay)
    whole = len(response.parts) == 1 and isinstance(response.parts[0], bytes) and not response.cut
    framing = {"content-length": str(len(response.parts[0]))} if whole else {"transfer-encoding": "chunked"}
    lines = [f"HTTP/1.1 {response.status} {HTTPStatus(response.status).phrase}"]
    lines += [f"{name}: {value}" for name, value in {**response.headers, **framing}.items()]
    writer.write("\r\n".join((*lines, "", "")).encode("latin-1"))
    for part in response.parts:
        if isinstance(part, bytes):
            writer.write(part if whole else b"%x\r\n%b\r\n" % (len(part), part))
            await writer.drain()
        else:
            await _sleep(part)
    if not whole and not response.cut:
        writer.write(b"0\r\n\r\n")
    await writer.drain()
    return not response.cut


async def _sleep(seconds: float) -> None:
    """Like asyncio.sleep, which knows no infinity."""
    if seconds == SILENCE:
        await asyncio.get_running_loop().create_future()
    elif seconds:
        await asyncio.sleep(seconds)
