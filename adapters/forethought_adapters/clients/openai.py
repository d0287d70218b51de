"""Wraps clients of the `openai` SDK, 2.x on httpx and 3.x on httpx2, async and blocking, Azure's too.

The copy has another HTTP client, whose transport answers `POST …/chat/completions` and passes everything else on
to the original's. So `create`, `parse`, `stream` and raw responses all work as they did. The SDK does not repeat a
run: each call of it is retried in the run, as often as the client's `max_retries` says.
"""

from __future__ import annotations

import sys
from collections.abc import Generator
from contextlib import contextmanager
from functools import partial
from typing import Any

from forethought.clients import Thinking
from forethought.errors import UpstreamTimeout
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

    thinking.check(backend(Through(inner, None, httpx)))
    stands_before = AsyncTransport if isinstance(client, sdk.AsyncOpenAI) else BlockingTransport
    transport = stands_before(inner, httpx, thinking, backend, partial(_telling, sdk))
    return client.with_options(http_client=_front(kind, inner, transport))


@contextmanager
def _telling(sdk: Any, request: Any) -> Generator[None, None, None]:
    """Raise what the SDK would raise itself; for anything but its own errors it would repeat the run."""
    try:
        yield
    except sdk.OpenAIError:
        raise
    except UpstreamTimeout as error:
        raise sdk.APITimeoutError(request=request) from error
    except Exception as error:
        raise sdk.APIConnectionError(message=f"{type(error).__name__}: {error}", request=request) from error


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
