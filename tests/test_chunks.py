"""Events and errors, written as the OpenAI API writes them."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from openai.types.chat import ChatCompletion, ChatCompletionChunk

from forethought import chunks
from forethought.context import Usage
from forethought.errors import (
    BudgetExceeded,
    EngineStopped,
    ForethoughtError,
    InvalidPolicy,
    InvalidRequest,
    MissingCapability,
    UpstreamProtocol,
    UpstreamStatus,
    UpstreamTimeout,
    UpstreamUnreachable,
)
from forethought.wire import Completion, Delta, Done, TokenLogprob

CALL = {"id": "call_1", "function": {"name": "add", "arguments": "{}"}}


def read(event: bytes) -> Any:
    """The JSON of one server-sent event."""
    assert event.startswith(b"data: ")
    assert event.endswith(b"\n\n")
    assert event.count(b"\n") == 2
    return json.loads(event[6:])


def spoken(event: bytes) -> Any:
    """What a chunk says, after the SDK's strict types have accepted it."""
    ChatCompletionChunk.model_validate(read(event), strict=True)
    return read(event)["choices"][0]["delta"]


@given(st.text(), st.text(), st.booleans())
def test_any_text_survives(text: str, reasoning: str, include_usage: bool) -> None:
    """Whatever characters a delta holds, lone surrogates and line ends included, they come back unchanged."""
    delta = spoken(chunks.Chunks("m", include_usage=include_usage).of(Delta(text, reasoning)))
    assert (delta.get("content", ""), delta.get("reasoning_content", "")) == (text, reasoning)


@given(st.dictionaries(st.text(), st.text(), min_size=1), st.text())
def test_unknown_delta_fields_survive(extra: dict[str, str], model: str) -> None:
    """Fields that this version does not know are part of the delta."""
    assert read(chunks.Chunks(model).of(Delta(extra=extra)))["choices"][0]["delta"] == extra


def test_a_stream_has_one_identity() -> None:
    """Every chunk of a stream carries the same id, model and second."""
    writer = chunks.Chunks('a "model"')
    events = [writer.first(), writer.of(Delta("x")), writer.last(Done()), writer.usage(Usage())]
    assert len({(c["id"], c["model"], c["created"], c["object"]) for c in map(read, events)}) == 1
    assert read(events[0])["model"] == 'a "model"'


def test_the_first_chunk_speaks_as_the_assistant() -> None:
    """The opening delta carries the role."""
    assert spoken(chunks.Chunks().first()) == {"role": "assistant", "content": ""}


def test_choices_are_told_apart() -> None:
    """Each chunk names the choice that it belongs to."""
    writer = chunks.Chunks()
    events = [writer.first(2), writer.of(Delta("x"), 2), writer.of(Delta(extra={"a": 1}), 2), writer.last(Done(), 2)]
    assert [read(event)["choices"][0]["index"] for event in events] == [2, 2, 2, 2]


def test_usage_is_null_until_its_own_chunk() -> None:
    """With include_usage every chunk has a null usage, and one without choices has the sum."""
    writer = chunks.Chunks(include_usage=True)
    early = [writer.first(), writer.of(Delta("x")), writer.of(Delta("x", "y")), writer.last(Done())]
    assert [read(event)["usage"] for event in early] == [None] * 4
    last = read(writer.usage(Usage(7, 5, 3, 2, 1)))
    assert last["choices"] == []
    assert last["usage"] == {
        "prompt_tokens": 7,
        "completion_tokens": 5,
        "total_tokens": 12,
        "prompt_tokens_details": {"cached_tokens": 2},
        "completion_tokens_details": {"reasoning_tokens": 3},
    }


def test_without_include_usage_no_chunk_mentions_it() -> None:
    """Nobody is told of a usage that was not asked for."""
    writer = chunks.Chunks()
    assert not any("usage" in read(event) for event in (writer.first(), writer.of(Delta("x")), writer.last(Done())))


def test_tool_calls_are_typed_where_they_begin() -> None:
    """The piece that opens a call says that it is a function; later pieces only add arguments."""
    writer = chunks.Chunks()
    opening = spoken(writer.of(Delta(tool_calls=({"index": 0, **CALL},))))
    later = spoken(writer.of(Delta(tool_calls=({"index": 0, "function": {"arguments": "1"}},))))
    assert opening == {"tool_calls": [{"index": 0, **CALL, "type": "function"}]}
    assert later == {"tool_calls": [{"index": 0, "function": {"arguments": "1"}}]}


def test_log_probabilities_travel_with_their_tokens() -> None:
    """A delta's logprobs have the API's shape, bytes included."""
    event = read(chunks.Chunks().of(Delta("é", logprobs=(TokenLogprob("é", -0.1, (("e", -2.0),)),))))
    assert event["choices"][0]["logprobs"] == {
        "content": [
            {
                "token": "é",
                "logprob": -0.1,
                "bytes": [195, 169],
                "top_logprobs": [{"token": "e", "logprob": -2.0, "bytes": [101]}],
            }
        ],
        "refusal": None,
    }


def test_the_closing_chunk_reports_the_run() -> None:
    """The chunk with the finish reason carries fingerprint, report, calls and cost."""
    done = Done("length", Usage(requests=3), Decimal("0.10"), meta={"system_fingerprint": "fp"}, report={"run": "r"})
    event = read(chunks.Chunks().last(done))
    assert event["choices"][0]["finish_reason"] == "length"
    assert event["system_fingerprint"] == "fp"
    assert event["forethought"] == {"run": "r", "requests": 3, "cost": "0.10"}


def test_a_whole_completion_satisfies_the_sdk() -> None:
    """A completion is accepted by the SDK's strict types and keeps the upstream's identity."""
    done = Done("tool_calls", Usage(1, 2), meta={"id": "chatcmpl-7", "created": 5, "model": "big"})
    body = json.loads(chunks.completion(Completion("", "hm", (CALL,), done=done), model="asked"))
    ChatCompletion.model_validate(body, strict=True)
    assert (body["id"], body["created"], body["model"]) == ("chatcmpl-7", 5, "big")
    assert body["choices"][0]["message"] == {
        "role": "assistant",
        "content": None,
        "reasoning_content": "hm",
        "tool_calls": [{**CALL, "type": "function"}],
        "refusal": None,
    }


def test_several_choices_share_one_usage() -> None:
    """`n` answers are n choices with one usage and one cost that sum them."""
    answers = [Completion(text, done=Done(usage=Usage(3, 1, requests=1), cost=Decimal(1))) for text in "ab"]
    body = json.loads(chunks.completion(*answers))
    assert [(c["index"], c["message"]["content"]) for c in body["choices"]] == [(0, "a"), (1, "b")]
    assert body["usage"]["total_tokens"] == 8
    assert body["forethought"] == {"requests": 2, "cost": "2"}


def test_an_unknown_cost_stays_unknown() -> None:
    """One choice whose cost nobody knows makes the sum null, never 0."""
    assert chunks.extension(Done(cost=Decimal(1)), Done(cost=None))["cost"] is None


def test_comments_stay_on_one_line() -> None:
    """A line end in a note cannot end the comment that carries it."""
    assert chunks.comment("a\n\ndata: b\r") == b": a data: b\n\n"


@pytest.mark.parametrize(
    ("error", "status", "code"),
    [
        (InvalidRequest("n", 0, "an integer of at least 1 is expected"), 400, "invalid_value"),
        (InvalidPolicy("layers[0].kind", "x", "the kinds are vote"), 400, "invalid_policy"),
        (MissingCapability("limit", "b", "continuation"), 400, "missing_capability"),
        (BudgetExceeded("run", "request_limit", 1, 1), 402, "budget_exceeded"),
        (UpstreamTimeout("silent"), 504, "upstream_timeout"),
        (UpstreamUnreachable("refused"), 502, "upstream_unreachable"),
        (UpstreamProtocol("html"), 502, "upstream_protocol"),
        (EngineStopped("closed"), 503, "engine_stopped"),
        (ForethoughtError("?"), 500, "server_error"),
    ],
)
def test_our_errors_have_a_status_and_are_not_repeated(error: ForethoughtError, status: int, code: str) -> None:
    """Every error of ours becomes the OpenAI error object, under a status that an SDK knows and does not retry."""
    told = chunks.failure(error)
    body = json.loads(told.body)["error"]
    assert (told.status, body["code"], body["message"]) == (status, code, str(error))
    assert told.headers["x-should-retry"] == "false"
    assert body["param"] == getattr(error, "field", None)


def test_an_upstream_error_is_relayed() -> None:
    """Status, body and retry headers of an upstream's error reach the client as they came."""
    headers = {"Retry-After": "3", "content-type": "text/html", "x-ratelimit-limit-requests": "9", "server": "x"}
    told = chunks.failure(UpstreamStatus(429, b"<html>", headers))
    assert (told.status, told.body) == (429, b"<html>")
    assert told.headers == {"retry-after": "3", "content-type": "text/html", "x-ratelimit-limit-requests": "9"}


def test_a_lasting_upstream_error_is_not_repeated() -> None:
    """An upstream's 400 tells the SDK not to try again."""
    assert chunks.failure(UpstreamStatus(400, b"{}")).headers["x-should-retry"] == "false"


def test_foreign_errors_stay_private() -> None:
    """Of an error that is not ours the client learns nothing but that it happened."""
    assert b"secret" not in chunks.failure(RuntimeError("secret")).body


@pytest.mark.parametrize("body", [b"<html>", b"[1]", b"\xff", b'{"error":{"message":"no"}}'])
def test_an_error_in_mid_stream_is_an_event(body: bytes) -> None:
    """Whatever the upstream's body was, the event is an OpenAI error object."""
    assert "message" in read(chunks.failure(UpstreamStatus(500, body)).event)["error"]
