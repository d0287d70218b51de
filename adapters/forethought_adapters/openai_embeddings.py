"""Vectors of texts from any server that has OpenAI's `/embeddings`."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache, partial
from typing import ClassVar
from urllib.parse import urlsplit
from weakref import WeakKeyDictionary

from pydantic import TypeAdapter, ValidationError

from forethought.errors import InvalidPolicy, UpstreamProtocol
from forethought.ports import IN_CODE
from forethought.retry import Retry

from .http import Client
from .openai_http import PLAIN, WHOLE_BYTES, check, rendered

CONNECT_S = 10.0
ASKING = (*PLAIN, ("content-type", "application/json"), ("accept", "application/json"))
OPENAI = "https://api.openai.com/v1"
SERVERS = (("FORETHOUGHT_EMBEDDINGS_URL", "FORETHOUGHT_EMBEDDINGS_KEY"), ("OPENAI_BASE_URL", "OPENAI_API_KEY"))
"""Where the environment names a server and the key for it; the first that is set counts."""


@dataclass(frozen=True, slots=True)
class OpenAIEmbeddings:
    """The embedding model `model` of a server, asked for at most `batch` texts at a time.

    A policy names the model and never the server, since a request may bring a policy along and must not choose where
    questions and keys are sent: that is FORETHOUGHT_EMBEDDINGS_URL with FORETHOUGHT_EMBEDDINGS_KEY, else
    OPENAI_BASE_URL with OPENAI_API_KEY, else OpenAI's own. Code may give `url` and `api_key`. Connections are shared
    by equal servers and close with their event loop. Raises InvalidPolicy for a URL or a number that makes no sense.
    """

    kind: ClassVar[str] = "openai"

    model: str = "text-embedding-3-small"
    batch: int = 64
    timeout_s: float = 30.0
    retries: int = 2
    url: str | None = field(default=None, metadata=IN_CODE)
    api_key: str | None = field(default=None, repr=False, metadata=IN_CODE)

    def __post_init__(self) -> None:
        for option, least in (("batch", 1), ("retries", 0), ("timeout_s", 0)):
            if getattr(self, option) < least:
                raise InvalidPolicy(f"embeddings.{option}", getattr(self, option), f"{least} or more is expected")
        url, _ = self._server()
        if urlsplit(url).scheme not in ("http", "https") or not urlsplit(url).hostname:
            raise InvalidPolicy("embeddings.url", url, "a URL such as 'http://127.0.0.1:8000/v1' is expected")

    @property
    def name(self) -> str:
        return f"{self.kind}/{self.model}"

    async def embed(self, texts: Sequence[str], /) -> list[list[float]]:
        """A vector for each text; fails as a chat completion of the server would, after as many tries."""
        retry = Retry(self.retries + 1)
        vectors: list[list[float]] = []
        for start in range(0, len(texts), self.batch):
            some = texts[start : start + self.batch]
            vectors += await retry.call(partial(self._asked, some))
        return vectors

    async def _asked(self, texts: Sequence[str]) -> list[list[float]]:
        url, key = self._server()
        body = rendered({"model": self.model, "input": list(texts), "encoding_format": "float"})
        headers = [*ASKING, *([("authorization", f"Bearer {key}")] if key else [])]
        client = _connections(url, self.timeout_s).client()
        async with client.send("POST", "/embeddings", body=body, headers=headers) as answer:
            await check(answer)
            return _vectors(await answer.read(WHOLE_BYTES), len(texts))

    def _server(self) -> tuple[str, str | None]:
        """Where to ask, and the key for it: a key is sent to no other server than the one it is named with."""
        if self.url is not None:
            return self.url, self.api_key
        for url, key in SERVERS:
            if named := os.environ.get(url):
                return named, self.api_key or os.environ.get(key)
        return OPENAI, self.api_key or os.environ.get("OPENAI_API_KEY")


class _Connections:
    """A client for each event loop, closed when its loop ends: a policy, which names a model, is never closed."""

    def __init__(self, url: str, silence_s: float) -> None:
        self._url = url
        self._silence_s = silence_s
        self._open: WeakKeyDictionary[asyncio.AbstractEventLoop, tuple[Client, asyncio.Task[None]]] = (
            WeakKeyDictionary()
        )

    def client(self) -> Client:
        loop = asyncio.get_running_loop()
        if loop not in self._open:
            client = Client(self._url, silence_s=self._silence_s, connect_s=CONNECT_S)
            self._open[loop] = client, loop.create_task(self._kept(client), name=f"connections to {self._url}")
        return self._open[loop][0]

    async def _kept(self, client: Client) -> None:
        """Wait until the loop is about to end, which cancels what is still running on it."""
        loop = asyncio.get_running_loop()
        try:
            await loop.create_future()
        finally:
            del self._open[loop]
            await client.aclose()


@lru_cache(maxsize=16)
def _connections(url: str, silence_s: float) -> _Connections:
    return _Connections(url.rstrip("/"), silence_s)


@dataclass(frozen=True, slots=True)
class _Row:
    embedding: list[float]
    index: int = 0


@dataclass(frozen=True, slots=True)
class _Answer:
    data: list[_Row]


_ANSWER = TypeAdapter(_Answer)


def _vectors(body: bytes, count: int) -> list[list[float]]:
    try:
        rows = _ANSWER.validate_json(body).data
    except ValidationError as error:
        raise UpstreamProtocol(f"no embeddings: {body[:200]!r} ({error.errors()[0]['msg']})") from error
    if len(rows) != count:
        raise UpstreamProtocol(f"{len(rows)} embeddings came back for {count} texts")
    return [row.embedding for row in sorted(rows, key=lambda row: row.index)]
