"""Who shares what is learned behind one proxy."""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from typing import Any, ClassVar

import aiohttp

from forethought.policy import Policy
from forethought.ports import Backend, Stream
from forethought.testing import Scripted
from forethought.wire import Request

ASK = {"model": "m", "messages": [{"role": "user", "content": "6*7?"}]}


@dataclass(frozen=True, slots=True)
class Noticing:
    """Notes for whom it is asked."""

    kind: ClassVar[str] = "noticing"
    tenants: list[str] = field(default_factory=list[str])

    def stream(self, inner: Backend, request: Request, /) -> Stream:
        self.tenants.append(request.context.tenant)
        return inner.stream(request)


def asked(http: aiohttp.ClientSession, url: str, key: str) -> AbstractAsyncContextManager[aiohttp.ClientResponse]:
    return http.post(f"{url}/v1/chat/completions", json=ASK, headers={"authorization": f"Bearer {key}"})


async def test_each_key_is_a_tenant(start: Any, http: aiohttp.ClientSession) -> None:
    """Where callers bring their own keys, those with one key are a tenant, whose name does not tell the key."""
    layer = Noticing()
    url = await start(default=Policy("p", layers=(layer,)), pass_through_key=True)
    for key in ("sk-ours", "sk-theirs", "sk-ours"):
        async with asked(http, url, key) as answered:
            assert answered.status == 200
    ours, theirs, again = layer.tenants
    assert ours == again != theirs
    assert "sk-" not in ours + theirs


async def test_one_key_is_one_tenant(start: Any, http: aiohttp.ClientSession) -> None:
    """Where all ask with the key of the proxy, all share, whatever they send."""
    layer = Noticing()
    url = await start(Scripted("42"), default=Policy("p", layers=(layer,)))
    for key in ("sk-ours", "sk-theirs"):
        async with asked(http, url, key) as answered:
            assert answered.status == 200
    assert layer.tenants == ["", ""]
