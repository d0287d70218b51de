"""The seam to the HTTP client: proxies of the environment, and headers that travel on."""

from __future__ import annotations

import pytest

from forethought_adapters.http import Client, forwarded, passed_on, proxy_for
from support.upstream import Upstream, raw


async def test_the_proxy_of_the_environment_is_used(upstream: Upstream, monkeypatch: pytest.MonkeyPatch) -> None:
    """A request goes to the proxy that the environment names, with the whole URL."""
    monkeypatch.setenv("http_proxy", upstream.base_url.removesuffix("/v1"))
    monkeypatch.delenv("no_proxy", raising=False)
    upstream.script(raw(b"through"))
    client = Client("http://models.invalid/v1", silence_s=5, connect_s=5)
    try:
        async with client.send("POST", "/chat/completions", body=b"{}") as answer:
            assert await answer.read(100) == b"through"
    finally:
        await client.aclose()
    assert upstream.requests[0].path == "http://models.invalid/v1/chat/completions"


def test_hosts_can_be_excepted_from_the_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    """`no_proxy` is obeyed; `all_proxy` serves what has none of its own."""
    monkeypatch.setenv("all_proxy", "http://proxy:1")
    monkeypatch.setenv("no_proxy", "inside.example")
    assert proxy_for("https://inside.example/v1") is None
    assert proxy_for("https://outside.example/v1") == "http://proxy:1"


def test_credentials_do_not_travel_on() -> None:
    """The caller's key and cookies stay here, as do headers of his connection; all else is forwarded."""
    headers = [
        (b"Authorization", b"Bearer caller"),
        (b"X-Api-Key", b"k"),
        (b"Cookie", b"s=1"),
        (b"Host", b"here"),
        (b"Content-Length", b"2"),
        (b"Transfer-Encoding", b"chunked"),
        (b"OpenAI-Organization", b"org"),
    ]
    assert forwarded(headers) == {"openai-organization": "org"}


def test_headers_of_the_hop_do_not_travel_back() -> None:
    """An answer keeps its length and its encoding, and loses what spoke of the connection."""
    kept = ((b"content-length", b"2"), (b"content-encoding", b"gzip"), (b"set-cookie", b"a"), (b"set-cookie", b"b"))
    assert passed_on((*kept, (b"connection", b"close"), (b"transfer-encoding", b"chunked"))) == kept
