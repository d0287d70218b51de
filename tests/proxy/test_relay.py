"""With no policy the proxy is a wire: bytes in, the same bytes out."""

from __future__ import annotations

import gzip
import json
from typing import Any

import aiohttp
import pytest
from openai import AsyncOpenAI

from support.upstream import DONE, JSON, Response, Upstream, event, fails, raw, streams

ASK = b'{"model":"fake","messages":[{"role":"user","content":"6*7?"}]}'
TYPE = {"content-type": "application/json"}

HEAD = b'{"model":"m","messages":['
IMAGE = b'{"role":"user","content":[{"type":"image_url","image_url":{"url":"data:image/png;base64,AAAA"}}]}'
CALLED = b'{"role":"assistant","content":null,"tool_calls":[{"id":"c","type":"function","function":{"name":"f"}}]}'
CORPUS = {
    "unknown fields": HEAD + b'{"role":"user","content":"q","x-new":{"a":[1]}}],"vllm_xargs":{"k":null}}',
    "spaces and order": b'{ "temperature" : 1.0 ,\r\n\t"messages":[ {"content":"q","role":"user"} ],"model":"m" }',
    "an image": HEAD + IMAGE + b"]}",
    "a tool loop": HEAD + CALLED + b',{"role":"tool","tool_call_id":"c","content":"1"}]}',
    "no content": HEAD + b'{"role":"assistant","content":null},{"role":"user","content":"q"}]}',
    "not ASCII": HEAD + '{"role":"user","content":"καλημέρα 🙂 \\u00e9\\ud83d\\ude42"}]}'.encode(),
    "half a surrogate": HEAD + b'{"role":"user","content":"\\ud800"}]}',
    "huge numbers": HEAD
    + b'],"seed":123456789012345678901234567890,"temperature":1e400,"top_p":0.10000000000000000001}',
    "deep nesting": HEAD + b'],"metadata":' + b"[" * 400 + b"]" * 400 + b"}",
    "a field twice": b'{"model":"a","model":"b","messages":[]}',
    "a model with a slash": b'{"model":"meta/llama-3","messages":[]}',
    "several choices": HEAD + b'],"n":3}',
    "a wrong type": b'{"model":7,"messages":"hello"}',
}


@pytest.mark.parametrize("body", CORPUS.values(), ids=CORPUS)
async def test_a_request_is_passed_on_byte_for_byte(
    body: bytes, start: Any, http: aiohttp.ClientSession, upstream: Upstream
) -> None:
    """Whatever valid JSON says, the upstream reads exactly what was sent."""
    async with http.post(f"{await start()}/v1/chat/completions", data=body, headers=TYPE) as answer:
        assert answer.status == 200
    assert upstream.requests[0].body == body
    assert upstream.requests[0].path == "/v1/chat/completions"


@pytest.mark.parametrize("body", [b'{"id": 1,\n "x":1e999}', '{"é": 1}'.encode(), b"not even JSON", b"", b"\x00\xff"])
async def test_an_answer_is_passed_back_byte_for_byte(
    body: bytes, start: Any, http: aiohttp.ClientSession, upstream: Upstream
) -> None:
    """Whatever the upstream says, the caller reads exactly that, under its type."""
    upstream.script(raw(body, content_type="application/json; odd=1", x_kept="yes"))
    async with http.post(f"{await start()}/v1/chat/completions", data=ASK, headers=TYPE) as answer:
        assert await answer.read() == body
        assert answer.headers["content-type"] == "application/json; odd=1"
        assert answer.headers["x-kept"] == "yes"


async def test_a_packed_answer_stays_packed(start: Any, http: aiohttp.ClientSession, upstream: Upstream) -> None:
    """The caller says which encodings it reads, and gets what the upstream chose."""
    packed = gzip.compress(b'{"ok":true}')
    upstream.script(raw(packed, content_type="application/json", content_encoding="gzip"))
    headers = {**TYPE, "accept-encoding": "gzip"}
    async with http.post(f"{await start()}/v1/chat/completions", data=ASK, headers=headers) as answer:
        assert (await answer.read(), answer.headers["content-encoding"]) == (packed, "gzip")
    assert upstream.requests[0].headers["accept-encoding"] == "gzip"


async def test_a_stream_is_passed_back_byte_for_byte(
    start: Any, http: aiohttp.ClientSession, upstream: Upstream
) -> None:
    """Comments, odd line ends and unknown fields included."""
    pieces = [b": keep-alive\r\n\r\n", b'data: {"x":1}\r\r', b"event: odd\nid: 7\n", event({"a": "é"}), DONE]
    upstream.script(streams(*pieces))
    async with http.post(f"{await start()}/v1/chat/completions", data=ASK, headers=TYPE) as answer:
        assert await answer.read() == b"".join(pieces)
        assert answer.headers["content-type"] == "text/event-stream"


async def test_a_stream_is_passed_back_as_it_comes(start: Any, http: aiohttp.ClientSession, upstream: Upstream) -> None:
    """The first piece arrives while the upstream has not written the second."""
    upstream.script(streams(b"data: first\n\n", 20.0))
    async with http.post(f"{await start()}/v1/chat/completions", data=ASK, headers=TYPE) as answer:
        assert await answer.content.readany() == b"data: first\n\n"
        assert upstream.live == 1


@pytest.mark.parametrize("status", [400, 401, 403, 404, 409, 422, 429, 500, 503, 504])
async def test_an_error_keeps_status_body_and_retry_headers(
    status: int, start: Any, http: aiohttp.ClientSession, upstream: Upstream
) -> None:
    """So that the caller's own retries work as if nothing were between."""
    upstream.script(fails(status, "no", retry_after="7", retry_after_ms="7000", x_should_retry="false"))
    async with http.post(f"{await start()}/v1/chat/completions", data=ASK, headers=TYPE) as answer:
        assert answer.status == status
        assert json.loads(await answer.read())["error"]["message"] == "no"
        kept = [answer.headers[name] for name in ("retry-after", "retry-after-ms", "x-should-retry")]
    assert kept == ["7", "7000", "false"]
    assert len(upstream.requests) == 1


async def test_an_upstream_that_is_away_is_a_bad_gateway(
    start: Any, http: aiohttp.ClientSession, upstream: Upstream
) -> None:
    """In the OpenAI shape, and worth another try."""
    url = await start()
    await upstream.__aexit__()
    async with http.post(f"{url}/v1/chat/completions", data=ASK, headers=TYPE) as answer:
        assert answer.status == 502
        assert (await answer.json())["error"]["code"] == "upstream_unreachable"
        assert "x-should-retry" not in answer.headers


async def test_an_upstream_that_says_nothing_is_a_timeout(
    start: Any, http: aiohttp.ClientSession, upstream: Upstream
) -> None:
    """After the longest silence that the backend was opened with."""
    upstream.script(lambda _: Response(delay=60.0))
    async with http.post(f"{await start(timeout_s=0.2)}/v1/chat/completions", data=ASK, headers=TYPE) as answer:
        assert answer.status == 504
        assert (await answer.json())["error"]["code"] == "upstream_timeout"
    assert await upstream.quiet()


async def test_a_stream_that_breaks_off_ends_in_an_error(
    start: Any, http: aiohttp.ClientSession, upstream: Upstream
) -> None:
    """What came is passed on, and the end says that it is none."""
    upstream.script(streams(b"data: half", cut=True))
    async with http.post(f"{await start()}/v1/chat/completions", data=ASK, headers=TYPE) as answer:
        head, _, last = (await answer.read()).partition(b"\n\ndata: ")
    assert head == b"data: half"
    assert json.loads(last)["error"]["code"] == "upstream_protocol"


async def test_a_whole_answer_that_breaks_off_stays_incomplete(
    start: Any, http: aiohttp.ClientSession, upstream: Upstream
) -> None:
    """The caller's connection breaks off too."""
    upstream.script(lambda _: Response([b'{"half"'], headers={**JSON, "x-no": "length"}, cut=True))
    async with http.post(f"{await start()}/v1/chat/completions", data=ASK, headers=TYPE) as answer:
        with pytest.raises(aiohttp.ClientError):
            await answer.read()


async def test_the_upstream_is_asked_with_our_key(start: Any, http: aiohttp.ClientSession, upstream: Upstream) -> None:
    """And never sees what is between the caller and us."""
    headers = {**TYPE, "authorization": "Bearer sk-caller", "cookie": "a=b", "x-session-id": "s"}
    async with http.post(f"{await start()}/v1/chat/completions", data=ASK, headers=headers):
        pass
    seen = upstream.requests[0].headers
    assert (seen["authorization"], seen.get("cookie"), seen["x-session-id"]) == ("Bearer sk-upstream", None, "s")


async def test_the_callers_key_is_passed_through_by_option(start: Any, sdk: Any, upstream: Upstream) -> None:
    """Each caller pays for itself, with a policy or without."""
    client: AsyncOpenAI = sdk(await start(pass_through_key=True))
    ask: Any = {"messages": [{"role": "user", "content": "6*7?"}]}
    await client.chat.completions.create(model="fake", **ask)
    await client.chat.completions.create(model="economy/fake", **ask)
    assert [request.headers["authorization"] for request in upstream.requests] == ["Bearer sk-caller"] * 2


async def test_without_a_key_to_pass_through_nobody_is_asked(
    start: Any, http: aiohttp.ClientSession, upstream: Upstream
) -> None:
    """The caller learns what is missing."""
    url = await start(pass_through_key=True)
    async with http.post(f"{url}/v1/chat/completions", data=ASK, headers=TYPE) as answer:
        assert (answer.status, (await answer.json())["error"]["code"]) == (401, "invalid_api_key")
    assert not upstream.requests


@pytest.mark.parametrize("chosen", [{"model": "none/fake"}, {"forethought": None}, {"forethought": {"policy": "none"}}])
async def test_what_selects_is_taken_out(
    chosen: dict[str, Any], start: Any, http: aiohttp.ClientSession, upstream: Upstream
) -> None:
    """The policy that is none relays the rest of the body."""
    asked = {**json.loads(ASK), "custom": {"kept": [1, None]}, **chosen}
    url = await start(default="balanced")
    async with http.post(f"{url}/v1/chat/completions", json=asked) as answer:
        assert "forethought" not in await answer.json()
    assert upstream.requests[0].json == {**json.loads(ASK), "custom": {"kept": [1, None]}}
