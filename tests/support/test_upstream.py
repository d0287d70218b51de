"""The scripted server that the other tests stand on."""

from __future__ import annotations

import json

import aiohttp
from hypothesis import given
from hypothesis import strategies as st

from support.upstream import SILENCE, Upstream, fails, late, raw, says, streams, words

ASK = {"model": "m", "messages": [{"role": "user", "content": "6*7?"}]}


async def test_plain_requests_get_a_whole_completion(upstream: Upstream) -> None:
    """A request without `stream` is answered by one chat.completion."""
    upstream.script(says("42", reasoning="six times seven"))
    async with aiohttp.ClientSession() as http, http.post(upstream.base_url + "/chat/completions", json=ASK) as answer:
        message = (await answer.json())["choices"][0]["message"]
    assert message == {"role": "assistant", "content": "42", "reasoning_content": "six times seven"}
    assert upstream.requests[0].json == ASK


async def test_streams_spell_the_same_answer(upstream: Upstream) -> None:
    """A streamed answer adds up to the text of the plain one and ends with [DONE]."""
    upstream.script(says("it is 42"))
    async with (
        aiohttp.ClientSession() as http,
        http.post(upstream.base_url + "/chat/completions", json={**ASK, "stream": True}) as answer,
    ):
        *events, last = (await answer.read()).decode().strip().split("\n\n")
    deltas = [json.loads(event[6:])["choices"][0]["delta"].get("content", "") for event in events]
    assert ("".join(deltas), last) == ("it is 42", "data: [DONE]")


async def test_scripts_go_round(upstream: Upstream) -> None:
    """Answers are given in turn and then from the start again, errors with their headers."""
    upstream.script(fails(429, retry_after="3"), raw(b"<html>", 500, content_type="text/html"))
    seen = []
    async with aiohttp.ClientSession() as http:
        for _ in range(3):
            async with http.post(upstream.base_url + "/x", json=ASK) as answer:
                seen.append((answer.status, answer.headers.get("retry-after")))
    assert seen == [(429, "3"), (500, None), (429, "3")]
    assert upstream.connections == 1


async def test_a_client_that_leaves_is_counted(upstream: Upstream) -> None:
    """A request is live until it is answered, and aborted when its client goes away first."""
    upstream.script(streams({"a": 1}, SILENCE), late(SILENCE, says()))
    for _ in range(2):
        async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=0.2)) as http:
            try:
                async with http.post(upstream.base_url + "/x", json=ASK) as answer:
                    await answer.read()
            except TimeoutError:
                pass
    assert await upstream.quiet()
    assert upstream.aborted == 2


@given(st.text(alphabet=" ab\n"))
def test_words_add_up(text: str) -> None:
    """No character of a text is lost when it is cut into words."""
    assert "".join(words(text)) == text
