"""Feedback over HTTP reaches the layers that learn, and nothing else does."""

from __future__ import annotations

import json
from typing import Any

import aiohttp
import pytest

from forethought.policy import Policy
from forethought.search.vote import Vote
from forethought.testing import Scripted
from support.learning import Attentive
from support.upstream import Upstream

ASK = {"model": "m", "messages": [{"role": "user", "content": "6*7?"}]}
SCORED = {"run_id": "run_1", "score": 1}


async def give(http: aiohttp.ClientSession, url: str, body: Any, **headers: str) -> tuple[int, Any]:
    data, kind = json.dumps(body).encode(), {"content-type": "application/json"}
    async with http.post(f"{url}/v1/forethought/feedback", data=data, headers={**kind, **headers}) as answer:
        return answer.status, await answer.json()


async def test_feedback_reaches_the_layer(start: Any, http: aiohttp.ClientSession) -> None:
    """The run id of a completion is what its feedback names."""
    layer = Attentive()
    url = await start(Scripted("41"), default=Policy("learning", layers=(layer,)))
    async with http.post(f"{url}/v1/chat/completions", json=ASK) as answered:
        run = (await answered.json())["forethought"]["run_id"]
    assert await give(http, url, {"run_id": run, "score": 0.25, "answer": "42"}) == (200, {"known": True})
    assert layer.heard == [(run, 0.25, "42")]


async def test_every_policy_is_told(start: Any, http: aiohttp.ClientSession) -> None:
    """The layer may be in any policy that a request can name, and is told once."""
    layer = Attentive()
    learning = Policy("learning", layers=(Vote(2), layer))
    url = await start(Scripted("42"), policies={"learning": learning, "plain": Policy("plain")}, default="learning")
    assert (await give(http, url, SCORED))[0] == 200
    assert layer.heard == [("run_1", 1.0, None)]


@pytest.mark.parametrize("layers", [(), (Attentive(frozenset({"run_2"})),)])
async def test_a_run_that_nobody_knows(layers: Any, start: Any, http: aiohttp.ClientSession) -> None:
    """Is not found, says which run, and is not asked about again."""
    url = await start(Scripted("42"), default=Policy("p", layers=layers))
    status, body = await give(http, url, SCORED)
    assert (status, body["error"]["code"], body["error"]["param"]) == (404, "run_not_found", "run_id")
    assert "'run_1'" in body["error"]["message"]


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ([], "body"),
        ({}, "run_id"),
        ({"run_id": 7, "score": 1}, "run_id"),
        ({"run_id": "run_1"}, "score"),
        ({"run_id": "run_1", "score": 2}, "score"),
        ({"run_id": "run_1", "score": "good"}, "score"),
        ({"run_id": "run_1", "score": 1, "answer": ["42"]}, "answer"),
        ({"run_id": "run_1", "score": 1, "tenant": "another"}, "tenant"),
    ],
)
async def test_a_wrong_field_is_named(body: Any, param: str, start: Any, http: aiohttp.ClientSession) -> None:
    """With status 400, and nobody is told."""
    layer = Attentive()
    url = await start(Scripted("42"), default=Policy("p", layers=(layer,)))
    status, said = await give(http, url, body)
    assert (status, said["error"]["param"], layer.heard) == (400, param, [])


async def test_only_declared_json_is_read(start: Any, http: aiohttp.ClientSession) -> None:
    """A web page cannot make a browser give feedback."""
    url = await start(Scripted("42"), default=Policy("p", layers=(Attentive(),)))
    assert (await give(http, url, SCORED, **{"content-type": "text/plain"}))[0] == 415


async def test_a_callers_key_is_asked_for(start: Any, http: aiohttp.ClientSession, upstream: Upstream) -> None:
    """Where callers bring their own keys, feedback needs one too."""
    url = await start(default=Policy("p", layers=(Attentive(),)), pass_through_key=True)
    assert (await give(http, url, SCORED))[0] == 401
    assert (await give(http, url, SCORED, authorization="Bearer sk-caller"))[0] == 200
    assert not upstream.requests
