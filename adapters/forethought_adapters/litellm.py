"""Every provider that litellm speaks to, as a backend."""

from __future__ import annotations

import asyncio
import os
import sys
import threading
from collections.abc import AsyncGenerator, AsyncIterator, Generator, Mapping
from contextlib import aclosing, asynccontextmanager, contextmanager
from dataclasses import dataclass, field, replace
from importlib import import_module
from typing import Any, Self

import tiktoken

from forethought.errors import InvalidRequest, MissingExtra
from forethought.ports import Capabilities, Continuation, Stream
from forethought.retry import Retry
from forethought.throttle import Gate, Throttled
from forethought.wire import Event, Request

from .flavours import Flavour, body_of, deepseek_prefill, splitter_of, thinking_is_over
from .litellm_errors import foreign_errors, translated
from .wireform import Reader

# fmt: off
FIELDS = frozenset({
    "audio", "frequency_penalty", "function_call", "functions", "logit_bias", "logprobs", "max_completion_tokens",
    "max_tokens", "messages", "modalities", "model", "parallel_tool_calls", "prediction", "presence_penalty",
    "prompt_cache_key", "reasoning_effort", "response_format", "safety_identifier", "seed", "service_tier", "stop",
    "store", "stream", "stream_options", "temperature", "thinking", "tool_choice", "tools", "top_logprobs", "top_p",
    "user", "verbosity", "web_search_options",
})
# fmt: on
"""Body fields that are handed to litellm by name; all others only travel in `extra_body`, so that a caller's
body cannot set litellm's own options (`api_base` would send our key to a server of his choice)."""

SWITCHES = {"LITELLM_LOCAL_MODEL_COST_MAP": "True", "LITELLM_MODE": "PRODUCTION"}
"""What keeps litellm's import from reading the network and a `.env` file."""

ENCODINGS = ("o200k_base", "o200k_harmony")
"""Those by which litellm counts tokens, beside the one that it loads itself."""

_LOADING = threading.Lock()

PLAIN = Flavour("litellm")
PREFILLING = Flavour("litellm", Continuation.ANSWER, deepseek_prefill)


def open_backend(
    model: str = "",
    *,
    base_url: str | None = None,
    api_key: str | None = None,
    timeout_s: float = 600.0,
    requests_per_minute: int | None = None,
    concurrency: int | None = None,
    retries: int = 2,
    prefill: bool = False,
    logprobs: bool = False,
    name: str = "litellm",
    **options: Any,
) -> LiteLLMBackend:
    """A backend for whatever `litellm.acompletion` can reach; litellm is imported with the first request.

    `model` (such as `anthropic/claude-sonnet-5`) is asked where a request names none. `prefill` promises that
    the model continues an assistant message marked with `prefix`. Other `options` are litellm's own. litellm
    reports an answer that broke off without an error as finished; nothing here can tell.
    """
    known = {"api_base": base_url, "api_key": api_key, "timeout": timeout_s, **options}
    own = {option: value for option, value in known.items() if value is not None}
    gate = Gate(requests=requests_per_minute, concurrency=concurrency)
    kind = replace(PREFILLING, logprobs=logprobs) if prefill else replace(PLAIN, logprobs=logprobs)
    return LiteLLMBackend(model, kind, gate, Retry(retries + 1), own, name)


@dataclass(frozen=True, slots=True)
class LiteLLMBackend:
    """litellm behind limits and retries of our own; its own retries are off."""

    model: str
    flavour: Flavour
    gate: Gate
    retry: Retry
    options: Mapping[str, Any] = field(repr=False)
    name: str = "litellm"

    @property
    def capabilities(self) -> Capabilities:
        return Capabilities(
            name=self.name,
            continuation=self.flavour.continuation,
            logprobs=self.flavour.logprobs,
            top_logprobs=20 if self.flavour.logprobs else 0,
        )

    def with_key(self, api_key: str) -> Self:
        """The same limits, asked with another key."""
        return replace(self, options={**self.options, "api_key": api_key})

    def stream(self, request: Request, /) -> Stream:
        return self.retry.stream(Throttled(_Call(self), self.gate), request)

    async def aclose(self) -> None:
        """Nothing to close: litellm keeps its connections to itself, for the whole process."""


@dataclass(frozen=True, slots=True)
class _Call:
    backend: LiteLLMBackend

    @property
    def capabilities(self) -> Capabilities:
        return self.backend.capabilities

    @asynccontextmanager
    async def stream(self, request: Request, /) -> AsyncGenerator[AsyncIterator[Event], None]:
        arguments = arguments_of(self.backend, request)
        litellm = await asyncio.to_thread(load)
        foreign = foreign_errors(litellm)
        try:
            chunks = await litellm.acompletion(**arguments)
        except foreign as error:
            raise translated(error) from error
        reader = Reader(splitter_of(self.backend.flavour, request), answering=thinking_is_over(request))
        async with aclosing(chunks), aclosing(_events(chunks, reader, foreign)) as events:
            yield events


def arguments_of(backend: LiteLLMBackend, request: Request) -> dict[str, Any]:
    """What `litellm.acompletion` is called with; raises InvalidRequest where no model is named."""
    body = body_of(backend.flavour, request)
    model = request.model or backend.model
    if not model:
        raise InvalidRequest("model", request.model, "a model such as 'openai/gpt-5.6' is expected")
    named = {key: value for key, value in body.items() if key in FIELDS}
    rest = {key: value for key, value in body.items() if key not in FIELDS}
    if rest:
        named["extra_body"] = rest
    return {**backend.options, **named, "model": model, "num_retries": 0, "max_retries": 0}


async def _events(
    chunks: AsyncIterator[Any], reader: Reader, foreign: tuple[type[Exception], ...]
) -> AsyncGenerator[Event, None]:
    while True:
        try:
            chunk = await anext(chunks, None)
        except foreign as error:
            raise translated(error) from error
        if chunk is None:
            break
        delta = reader.read(chunk.model_dump(exclude_none=True))
        if delta is not None:
            yield delta
    rest = reader.flush()
    if rest is not None:
        yield rest
    yield reader.done()


def load() -> Any:
    """Import litellm, which takes seconds: call it off the event loop. Raises MissingExtra without it."""
    with _LOADING:
        if "litellm" not in sys.modules:
            try:
                with _environment():
                    litellm: Any = import_module("litellm")
                    # Else it is imported at the end of a stream, and sets TIKTOKEN_CACHE_DIR for good. Now it
                    # points to litellm's own files: what is not loaded from them here is fetched later.
                    import_module("litellm.litellm_core_utils.default_encoding")
                    for encoding in ENCODINGS:
                        tiktoken.get_encoding(encoding)
            except ModuleNotFoundError as error:
                raise MissingExtra("litellm", "litellm") from error
            litellm.suppress_debug_info = True  # else it prints at every error
    return sys.modules["litellm"]


@contextmanager
def _environment() -> Generator[None, None, None]:
    """Set the switches that the user has not set, and leave the environment as it was."""
    before = {name: os.environ.get(name) for name in (*SWITCHES, "TIKTOKEN_CACHE_DIR")}
    for name, value in SWITCHES.items():
        os.environ.setdefault(name, value)
    try:
        yield
    finally:
        for name, old in before.items():
            if old is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = old
