"""Events, written as the OpenAI API writes them; the SDK's own types, in strict mode, are the judge."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from openai.types.chat import ChatCompletion, ChatCompletionChunk

from forethought.context import Usage
from forethought.front import sse
from forethought.front.answer import Chunks, Form, closing, completion
from forethought.wire import Completion, Delta, Done, Note, TokenLogprob

CALL = {"id": "call_1", "function": {"name": "add", "arguments": "{}"}}


def form(**options: Any) -> Form:
    return Form("model", "policy", **options)


def read(written: bytes) -> list[Any]:
    """The JSON of each event, all of which the SDK accepts."""
    assert written.endswith(b"\n\n")
    events = [json.loads(event.removeprefix(b"data: ")) for event in written[:-2].split(b"\n\n")]
    for event in events:
        ChatCompletionChunk.model_validate(event, strict=True)
    return events


def spoken(chunks: Chunks, delta: Delta) -> Any:
    """What the last chunk for a delta says."""
    return read(chunks.write(delta))[-1]["choices"][0]["delta"]


@given(st.text(), st.text(), st.booleans())
def test_any_text_survives(text: str, reasoning: str, include_usage: bool) -> None:
    """Whatever characters a delta holds, half surrogates and line ends included, they come back unchanged."""
    delta = spoken(Chunks(form(include_usage=include_usage)), Delta(text, reasoning))
    assert (delta.get("content", ""), delta.get("reasoning_content", "")) == (text, reasoning)


@given(st.text(), st.text(), st.dictionaries(st.text(), st.text()))
def test_a_note_is_one_comment(kind: str, text: str, data: dict[str, str]) -> None:
    """Nothing that a layer says can end the comment that carries it."""
    written = Chunks(form()).write(Note(kind, text, data))
    assert written.startswith(b":")
    assert written.endswith(b"\n\n")
    assert not set(b"\r\n") & set(written[:-2])


def test_unknown_delta_fields_survive() -> None:
    """Fields that this version does not know are part of the delta."""
    assert spoken(Chunks(form()), Delta("a", extra={"annotations": [1]})) == {"content": "a", "annotations": [1]}


def test_a_stream_has_one_identity() -> None:
    """Every chunk of a stream carries the same id, model and second; each names its choice."""
    shared = form()
    written = b"".join(Chunks(shared, index).write(event) for index in (0, 1) for event in (Delta("x"), Done()))
    events = read(written)
    assert len({(event["id"], event["model"], event["created"], event["object"]) for event in events}) == 1
    assert {event["choices"][0]["index"] for event in events} == {0, 1}


def test_the_first_chunk_speaks_as_the_assistant() -> None:
    """The role opens a choice once, also one that says nothing."""
    chunks = Chunks(form())
    opened = [read(chunks.write(event))[0]["choices"][0]["delta"].get("role") for event in (Delta("x"), Delta("y"))]
    assert opened == ["assistant", None]
    assert len(read(Chunks(form()).write(Done()))) == 2


def test_usage_is_null_until_its_own_chunk() -> None:
    """With include_usage every chunk has a null usage, and one without choices sums all of them."""
    asked = form(include_usage=True)
    chunks = Chunks(asked)
    early = read(b"".join(map(chunks.write, (Delta("x"), Delta("x", "y"), Done()))))
    assert [event["usage"] for event in early] == [None] * len(early)
    ends = [Done(usage=Usage(7, 5, 3, 2, 1), cost=Decimal("0.5")), Done(usage=Usage(1, 1), cost=Decimal("0.25"))]
    written = closing(asked, ends)
    assert written.endswith(sse.DONE)
    last = read(written.removesuffix(sse.DONE))[0]
    assert last["choices"] == []
    assert last["usage"] == {
        "prompt_tokens": 8,
        "completion_tokens": 6,
        "total_tokens": 14,
        "prompt_tokens_details": {"cached_tokens": 2},
        "completion_tokens_details": {"reasoning_tokens": 3},
        "cost": 0.75,
    }


def test_nobody_is_told_of_a_usage_that_was_not_asked_for() -> None:
    """Without include_usage the stream ends with its end mark."""
    assert closing(form(), [Done()]) == sse.DONE
    assert not any("usage" in event for event in read(Chunks(form()).write(Done())))


def test_tool_calls_are_typed_where_they_begin() -> None:
    """The piece that opens a call says that it is a function; later pieces only add arguments."""
    chunks = Chunks(form())
    opening = spoken(chunks, Delta(tool_calls=({"index": 0, **CALL},)))
    later = spoken(chunks, Delta(tool_calls=({"index": 0, "function": {"arguments": "1"}},)))
    assert opening == {"tool_calls": [{"index": 0, **CALL, "type": "function"}]}
    assert later == {"tool_calls": [{"index": 0, "function": {"arguments": "1"}}]}


def test_log_probabilities_travel_with_their_tokens() -> None:
    """Logprobs that were asked for have the API's shape, bytes included; others are left out."""
    delta = Delta("é", logprobs=(TokenLogprob("é", -0.1, (("e", -2.0),)),))
    asked, silent = (read(Chunks(form(logprobs=wanted)).write(delta))[-1]["choices"][0] for wanted in (True, False))
    assert silent["logprobs"] is None
    assert asked["logprobs"]["content"] == [
        {
            "token": "é",
            "logprob": -0.1,
            "bytes": [195, 169],
            "top_logprobs": [{"token": "e", "logprob": -2.0, "bytes": [101]}],
        }
    ]


def test_the_closing_chunk_reports_the_run() -> None:
    """The chunk with the finish reason carries the fingerprint and what the caller should know of the run."""
    done = Done("length", Usage(requests=3), meta={"system_fingerprint": "fp"}, report={"run": "r", "samples": 3})
    event = read(Chunks(form()).write(done))[-1]
    assert (event["choices"][0]["finish_reason"], event["system_fingerprint"]) == ("length", "fp")
    told = {"run_id": "r", "policy": "policy", "stop_reason": "length", "requests": 3, "samples": 3}
    assert event["forethought"] == told


def test_a_whole_completion_satisfies_the_sdk() -> None:
    """A completion of thought and tool calls is accepted by the SDK's strict types."""
    done = Done("tool_calls", Usage(1, 2), meta={"model": "big"})
    body = completion(form(), [Completion("", "hm", (CALL,), done=done)])
    ChatCompletion.model_validate(body, strict=True)
    assert body["model"] == "big"
    assert body["choices"][0]["message"] == {
        "role": "assistant",
        "content": None,
        "refusal": None,
        "reasoning_content": "hm",
        "tool_calls": [{**CALL, "type": "function"}],
    }


def test_several_choices_share_one_usage() -> None:
    """`n` answers are n choices under one usage that sums them; an unknown cost stays unknown, never 0."""
    answers = [
        Completion(text, done=Done(usage=Usage(3, 1), cost=cost)) for text, cost in (("a", Decimal(1)), ("b", None))
    ]
    body = completion(form(), answers)
    assert [(choice["index"], choice["message"]["content"]) for choice in body["choices"]] == [(0, "a"), (1, "b")]
    assert body["usage"]["total_tokens"] == 8
    assert "cost" not in body["usage"]
