"""What cannot be served is refused in the OpenAI shape, says why, and is not asked again."""

from __future__ import annotations

import io
import json
from typing import Any

import aiohttp
import pytest

from support.upstream import Upstream

TYPE = {"content-type": "application/json"}
ASK: dict[str, Any] = {"model": "fake", "messages": [{"role": "user", "content": "6*7?"}]}


async def refused(
    http: aiohttp.ClientSession, url: str, body: bytes, headers: Any = TYPE
) -> tuple[int, dict[str, Any]]:
    async with http.post(f"{url}/v1/chat/completions", data=body, headers=headers) as answer:
        assert answer.headers["x-should-retry"] == "false"
        assert answer.headers["x-request-id"]
        error = (await answer.json())["error"]
        assert set(error) == {"message", "type", "param", "code"}
        return answer.status, error


@pytest.mark.parametrize(
    "body", [b"", b"{", b"nonsense", b'{"a":1}}', b"[1]", b'"text"', b"null", b"\xff\xfe", b"[" * 100_000]
)
async def test_what_is_not_a_json_object(
    body: bytes, start: Any, http: aiohttp.ClientSession, upstream: Upstream
) -> None:
    """Is told so with its place."""
    status, error = await refused(http, await start(), body)
    assert (status, error["param"], error["type"]) == (400, "body", "invalid_request_error")
    assert not upstream.requests


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("messages", "hello"),
        ("messages", []),
        ("messages", None),
        ("messages", [{"content": "no role"}]),
        ("model", 7),
        ("stream", "yes"),
        ("n", 0),
        ("n", 1000),
        ("n", "two"),
        ("max_tokens", -1),
        ("max_completion_tokens", 0),
        ("temperature", "warm"),
        ("stop", 7),
        ("stream_options", "usage"),
    ],
)
async def test_a_wrong_type_is_named(
    field: str, value: Any, start: Any, http: aiohttp.ClientSession, upstream: Upstream
) -> None:
    """With the field, before anything is asked upstream."""
    body = json.dumps({**ASK, "forethought": {"policy": "balanced"}, field: value}).encode()
    status, error = await refused(http, await start(), body)
    assert status == 400
    assert error["param"].startswith(field)
    assert not upstream.requests


@pytest.mark.parametrize(
    ("option", "param"),
    [
        ("balanced", "forethought"),
        ({"polic": "balanced"}, "forethought.polic"),
        ({"policy": "nope"}, "forethought.policy"),
        ({"policy": "../../etc/passwd.toml"}, "forethought.policy"),
        ({"policy": 7}, "forethought.policy"),
        ({"policy": {"layers": [{"kind": "nope"}]}}, "forethought.policy.layers[0].kind"),
        ({"policy": {"layers": [{"kind": "vote", "samples": 0}]}}, "forethought.policy.layers[0].samples"),
        ({"budget": 7}, "forethought.budget"),
        ({"budget": {"tokens": 1}}, "forethought.budget.tokens"),
        ({"budget": {"output_tokens_limit": 0}}, "forethought.budget.output_tokens_limit"),
        ({"budget": {"output_tokens_limit": -5}}, "forethought.budget.output_tokens_limit"),
        ({"budget": {"output_tokens_limit": 10, "answer_tokens": 10}}, "forethought.budget.output_tokens_limit"),
        ({"budget": {"cost_limit": "much"}}, "forethought.budget.cost_limit"),
        ({"budget": {"time_limit_s": 0}}, "forethought.budget.time_limit_s"),
        ({"progress": "loud"}, "forethought.progress"),
    ],
)
async def test_a_wrong_option_is_named(
    option: Any, param: str, start: Any, http: aiohttp.ClientSession, upstream: Upstream
) -> None:
    """An unknown policy or an impossible budget is refused with the field that is wrong."""
    status, error = await refused(http, await start(), json.dumps({**ASK, "forethought": option}).encode())
    assert (status, error["param"]) == (400, param)
    assert not upstream.requests


async def test_an_unknown_policy_names_the_known(start: Any, http: aiohttp.ClientSession) -> None:
    """So that the next try can be right."""
    _, error = await refused(http, await start(), json.dumps({**ASK, "forethought": {"policy": "nope"}}).encode())
    assert all(name in error["message"] for name in ("'nope'", "none", "balanced", "economy"))


@pytest.mark.parametrize("policy", [None, {"policy": "balanced"}])
async def test_ten_megabytes_are_served(
    policy: Any, start: Any, http: aiohttp.ClientSession, upstream: Upstream
) -> None:
    """With a policy and without; meanwhile others are answered."""
    url = await start()
    asked = {**ASK, "messages": [{"role": "user", "content": "x" * 10_000_000}], "forethought": policy}
    body = io.BytesIO(json.dumps(asked).encode())
    asking = http.post(f"{url}/v1/chat/completions", data=body, headers=TYPE)
    async with asking as answer, http.get(f"{url}/healthz") as healthy:
        assert (answer.status, healthy.status) == (200, 200)
    assert len(upstream.requests[0].body) > 10_000_000


@pytest.mark.parametrize("chunked", [False, True])
async def test_too_large_a_body_is_refused(
    chunked: bool, start: Any, http: aiohttp.ClientSession, upstream: Upstream
) -> None:
    """Whether it says its length before or not."""

    async def pieces() -> Any:
        yield b"x" * 2000

    body: Any = pieces() if chunked else b"x" * 2000
    status, error = await refused(http, await start(max_body_bytes=1000), body)
    assert (status, error["code"]) == (413, "request_too_large")
    assert not upstream.requests


@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data", ""])
async def test_only_declared_json_is_read(
    kind: str, start: Any, http: aiohttp.ClientSession, upstream: Upstream
) -> None:
    """A web page can make a browser send any of these to a server on the same machine."""
    status, error = await refused(http, await start(), json.dumps(ASK).encode(), {"content-type": kind})
    assert (status, error["code"]) == (415, "unsupported_media_type")
    assert not upstream.requests


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [("GET", "/", 404), ("POST", "/v1/nope", 404), ("GET", "/v1/chat/completions", 405), ("GET", "/v1/models/x", 404)],
)
async def test_an_unknown_address_is_an_error_like_any(
    method: str, path: str, status: int, start: Any, http: aiohttp.ClientSession
) -> None:
    """In the OpenAI shape too."""
    async with http.request(method, f"{await start()}{path}") as answer:
        assert answer.status == status
        assert (await answer.json())["error"]["type"] == "invalid_request_error"
