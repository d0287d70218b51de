"""Wraps clients of the `openai` SDK, 2.x on httpx and 3.x on httpx2, async and blocking, Azure's too.

The copy has another HTTP client, whose transport answers `POST …/chat/completions` and passes
everything else on to the original's. So `create`, `parse`, `stream` and raw responses all work as they did. The
SDK does not repeat a run: each call of it is retried in the run, as often as the client's `max_retries` says.
"""

from __future__ import annotations

import sys
from typing import Any, cast

from forethought.clients import Thinking
from forethought.errors import UpstreamError, UpstreamTimeout
from forethought.ports import Backend
from forethought.retry import Retry
from forethought.throttle import Gate

from ..flavours import flavour_of
from ..openai_http import OpenAIBackend
from .through import Through
from .transport import AsyncTransport, BlockingTransport

HTTPX = ("httpx", "httpx2")


def wrap(client: Any, thinking: Thinking, *, flavour: str = "auto") -> Any:
    """A copy of an `openai` client that thinks as `thinking` says, or None where `client` is not one.

    `flavour` is one of auto, openai, vllm, llamacpp, deepseek, generic; `auto` takes it from the URL.
    """
    sdk: Any = sys.modules.get("openai")
    if sdk is None or not isinstance(client, sdk.OpenAI | sdk.AsyncOpenAI):
        return None
    inner = client._client  # noqa: SLF001  there is no public way to it, and both majors have it
    kind = next(base for base in type(inner).__mro__ if base.__module__.partition(".")[0] in HTTPX)
    httpx: Any = sys.modules[kind.__module__.partition(".")[0]]
    server = flavour_of(flavour, str(client.base_url))
    retry = Retry(client.max_retries + 1)
    gate = Gate()

    def backend(through: Through) -> Backend:
        return OpenAIBackend(through, server, gate, retry, None, {}, name=server.name)

    def as_sdk(error: UpstreamError, request: Any) -> Exception:
        if isinstance(error, UpstreamTimeout):
            return cast("Exception", sdk.APITimeoutError(request=request))
        return cast("Exception", sdk.APIConnectionError(message=str(error), request=request))

    thinking.check(backend(Through(inner, None, httpx)))
    transport = AsyncTransport if isinstance(client, sdk.AsyncOpenAI) else BlockingTransport
    return client.with_options(http_client=_front(kind, inner, transport(inner, httpx, thinking, backend, as_sdk)))


def _front(kind: Any, inner: Any, transport: Any) -> Any:
    """An HTTP client that builds requests as `inner` does, and sends them through `transport`."""
    return kind(
        transport=transport,
        headers=inner.headers,
        params=inner.params,
        cookies=inner.cookies,
        timeout=inner.timeout,
        follow_redirects=inner.follow_redirects,
        trust_env=False,
    )
