"""Any OpenAI-compatible server as a backend: chat completions as events, and everything else as bytes."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncGenerator, AsyncIterator, Iterable, Mapping
from contextlib import aclosing, asynccontextmanager, suppress
from dataclasses import dataclass, field, replace
from typing import Any, Self
from urllib.parse import urlsplit

from pydantic_core import from_json, to_json

from forethought.errors import InvalidPolicy, InvalidRequest, UpstreamError, UpstreamProtocol, UpstreamStatus
from forethought.ports import Capabilities, Continuation, Stream
from forethought.retry import Retry
from forethought.throttle import Gate, Throttled
from forethought.wire import Event, Request

from .flavours import Flavour, body_of, flavour_of, splitter_of, thinking_is_over
from .http import Client, Response, Sender, forwarded, passed_on
from .sse import Events
from .wireform import Reader

ERROR_BYTES = 1 << 20
WHOLE_BYTES = 1 << 28
LINGER_S = 0.1
"""How long the end of a finished answer is waited for, so that its connection can be used again."""
COST_HEADER = "x-litellm-response-cost"
PLAIN = (("user-agent", "forethought"), ("accept-encoding", "identity"))
ASKING = (*PLAIN, ("content-type", "application/json"), ("accept", "text/event-stream, application/json"))


def open_backend(
    base_url: str = "https://api.openai.com/v1",
    *,
    api_key: str | None = None,
    flavour: str = "auto",
    headers: Mapping[str, str] | None = None,
    timeout_s: float | None = None,
    connect_timeout_s: float = 10.0,
    max_connections: int = 0,
    requests_per_minute: int | None = None,
    concurrency: int | None = None,
    retries: int = 2,
    raw_thinking: bool = False,
    logprobs: bool | None = None,
    local: bool = False,
    verify: bool | ssl.SSLContext = True,
    name: str | None = None,
) -> OpenAIBackend:
    """A backend for the server at `base_url`; opens no connection yet.

    `flavour` is one of auto, openai, vllm, llamacpp, deepseek, generic. `timeout_s` is the longest silence
    (None: 600 s for OpenAI, whose models think in silence, else 60 s). `raw_thinking` promises that the chat
    template of a vLLM model continues an open `<think>`. `logprobs` overrides what the flavour says, `local`
    says that tokens cost no money. Raises InvalidPolicy naming the option that is wrong.
    """
    if urlsplit(base_url).scheme not in ("http", "https") or not urlsplit(base_url).hostname:
        raise InvalidPolicy("base_url", base_url, "a URL such as 'http://127.0.0.1:8000/v1' is expected")
    for option, value, least in (
        ("retries", retries, 0),
        ("max_connections", max_connections, 0),
        ("requests_per_minute", requests_per_minute, 1),
        ("concurrency", concurrency, 1),
    ):
        if value is not None and value < least:
            raise InvalidPolicy(option, value, f"{least} or more is expected")
    kind = flavour_of(flavour, base_url)
    if raw_thinking and kind.prefill is not None:
        kind = replace(kind, continuation=Continuation.REASONING)
    if logprobs is not None:
        kind = replace(kind, logprobs=logprobs)
    client = Client(
        base_url.rstrip("/"),
        silence_s=kind.silence_s if timeout_s is None else timeout_s,
        connect_s=connect_timeout_s,
        max_connections=max_connections,
        verify=verify,
    )
    gate = Gate(requests=requests_per_minute, concurrency=concurrency)
    return OpenAIBackend(
        client, kind, gate, Retry(retries + 1), api_key, _lower(headers or {}), local, name or kind.name
    )


@dataclass(frozen=True, slots=True)
class OpenAIBackend:
    """A server behind one pool of connections, its limits and its retries; close it with `aclose()`."""

    client: Sender
    flavour: Flavour
    gate: Gate
    retry: Retry
    api_key: str | None = field(repr=False)
    headers: Mapping[str, str] = field(repr=False)
    local: bool = False
    name: str = "openai"

    @property
    def capabilities(self) -> Capabilities:
        return Capabilities(
            name=self.name,
            continuation=self.flavour.continuation,
            logprobs=self.flavour.logprobs,
            top_logprobs=20 if self.flavour.logprobs else 0,
            grammar=self.flavour.grammar,
            local=self.local,
        )

    def with_key(self, api_key: str | None) -> Self:
        """The same server, connections and limits, asked with another key."""
        return replace(self, api_key=api_key)

    def stream(self, request: Request, /) -> Stream:
        return self.retry.stream(Throttled(_Call(self), self.gate), request)

    @asynccontextmanager
    async def relay(
        self, path: str, body: bytes | None, headers: Iterable[tuple[bytes, bytes]] = (), *, method: str = "POST"
    ) -> AsyncGenerator[Response, None]:
        """Send these bytes and give back the answer's, unchanged and whatever its status; no retries.

        Headers of the hop and the caller's credentials are left out; this backend's own key is sent.
        """
        sent = {**forwarded(headers), **self.own_headers()}
        async with self.gate.hold(), self.client.send(method, path, body=body, headers=sent.items()) as answer:
            yield Response(answer.status, passed_on(answer.headers), answer.chunks)

    async def get(self, path: str) -> bytes:
        """The body at `path`, such as `/models`; raises UpstreamStatus where it is not to be had."""
        async with self.client.send("GET", path, headers=[*PLAIN, *self.own_headers().items()]) as answer:
            await check(answer)
            return await answer.read(WHOLE_BYTES)

    def own_headers(self) -> dict[str, str]:
        """What this backend sends with every request: its key and the headers it was opened with."""
        return {**({"authorization": f"Bearer {self.api_key}"} if self.api_key else {}), **self.headers}

    async def aclose(self) -> None:
        """Close the connections, which siblings made by `with_key` share."""
        await self.client.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()


@dataclass(frozen=True, slots=True)
class _Call:
    """One chat completion asked of the server, once."""

    backend: OpenAIBackend

    @property
    def capabilities(self) -> Capabilities:
        return self.backend.capabilities

    @asynccontextmanager
    async def stream(self, request: Request, /) -> AsyncGenerator[AsyncIterator[Event], None]:
        backend = self.backend
        reader = Reader(splitter_of(backend.flavour, request), answering=thinking_is_over(request))
        body = rendered(body_of(backend.flavour, request))
        headers = {**dict(ASKING), **backend.own_headers()}
        async with backend.client.send("POST", "/chat/completions", body=body, headers=headers.items()) as answer:
            await check(answer)
            async with aclosing(_events(answer, reader)) as events:
                yield events
            if reader.ended:
                await _linger(answer)


async def _events(answer: Response, reader: Reader) -> AsyncGenerator[Event, None]:
    async with aclosing(_documents(answer)) as documents:
        async for document in documents:
            delta = reader.read(_parsed(document))
            if delta is not None:
                yield delta
    rest = reader.flush()
    if rest is not None:
        yield rest
    yield reader.done(answer.header(COST_HEADER))


async def _documents(answer: Response) -> AsyncGenerator[bytes, None]:
    """The JSON documents of an answer: its events, or all of it where the server does not stream."""
    events = Events()
    begun = b""
    empty = True
    async for chunk in answer.chunks:
        begun = begun or chunk.lstrip()
        if begun.startswith((b"{", b"<")):
            yield begun + await answer.read(WHOLE_BYTES)
            return
        for data in events.feed(chunk):
            if data == b"[DONE]":
                return
            empty = False
            yield data
    for data in events.close():
        if data != b"[DONE]":
            empty = False
            yield data
    if empty:
        raise UpstreamProtocol(f"neither events nor a completion: {begun[:200]!r}")


def rendered(body: Mapping[str, Any]) -> bytes:
    try:
        return to_json(body)
    except ValueError as error:
        raise InvalidRequest("body", body, f"JSON values are expected ({error})") from error


def _parsed(document: bytes) -> Any:
    try:
        return from_json(document)
    except ValueError as error:
        raise UpstreamProtocol(f"not JSON: {document[:200]!r} ({error})") from error


async def check(answer: Response) -> None:
    """Raise UpstreamStatus, with what the server said, for anything but success."""
    if answer.status >= 300:
        raise UpstreamStatus(answer.status, await answer.read(ERROR_BYTES), answer.fields)


async def _linger(answer: Response) -> None:
    with suppress(TimeoutError, UpstreamError):
        async with asyncio.timeout(LINGER_S):
            await answer.read(WHOLE_BYTES)


def _lower(headers: Mapping[str, str]) -> dict[str, str]:
    return {key.lower(): value for key, value in headers.items()}
