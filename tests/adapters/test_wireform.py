"""Chat-completions JSON, read into events."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from forethought.context import Usage
from forethought.errors import UpstreamError, UpstreamProtocol, UpstreamStatus
from forethought.thinking import Splitter
from forethought.wire import Delta, TokenLogprob
from forethought_adapters.wireform import Reader

NAMES = ["choices", "delta", "message", "content", "usage", "error", "logprobs", "tool_calls", "index", "token", "type"]
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(NAMES), inner, max_size=4),
    max_leaves=12,
)


def chunk(**delta: Any) -> dict[str, Any]:
    return {"choices": [{"index": 0, "delta": delta, "finish_reason": None}]}


ENDED = {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}


@given(
    VALUES | st.fixed_dictionaries({"choices": st.lists(st.fixed_dictionaries({"delta": VALUES, "logprobs": VALUES}))})
)
def test_nonsense_is_an_upstream_error(value: Any) -> None:
    """Any JSON is a delta, nothing, or an error of our tree."""
    reader = Reader(Splitter())
    try:
        assert isinstance(reader.read(value), Delta | None)
        reader.done()
    except UpstreamError:
        pass


@pytest.mark.parametrize("name", ["reasoning_content", "reasoning"])
def test_both_names_of_reasoning_are_read(name: str) -> None:
    """Thinking arrives under either of its two names."""
    assert Reader().read(chunk(**{name: "hm"})) == Delta(reasoning="hm")


def test_reasoning_sent_twice_counts_once() -> None:
    """A gateway that mirrors the thinking under both names does not double it."""
    assert Reader().read(chunk(reasoning="hm", reasoning_content="hm")) == Delta(reasoning="hm")


def test_pieces_of_tool_calls_are_kept() -> None:
    """Tool-call pieces are passed on as they are."""
    piece = {"index": 1, "id": "c", "function": {"name": "f", "arguments": '{"a'}}
    assert Reader().read(chunk(tool_calls=[piece])) == Delta(tool_calls=(piece,))


def test_logprobs_belong_to_their_delta() -> None:
    """Each token carries its log-probability and the alternatives."""
    value = chunk(content="4")
    top = [{"token": "4", "logprob": -0.1}, {"token": "5", "logprob": -2}]
    value["choices"][0]["logprobs"] = {"content": [{"token": "4", "logprob": -0.1, "top_logprobs": top}]}
    assert Reader().read(value) == Delta("4", logprobs=(TokenLogprob("4", -0.1, (("4", -0.1), ("5", -2.0))),))


def test_unknown_fields_survive() -> None:
    """A refusal and fields of tomorrow are kept beside the text; null ones are not."""
    delta = Reader().read(chunk(role="assistant", refusal="no", annotations=None, audio={"id": "a"}))
    assert delta == Delta(extra={"refusal": "no", "audio": {"id": "a"}})


def test_content_in_parts_is_joined() -> None:
    """Content that is a list of thinking and text parts is told apart."""
    parts = [
        {"type": "thinking", "thinking": [{"type": "text", "text": "hm"}]},
        {"type": "text", "text": "42"},
    ]
    assert Reader().read(chunk(content=parts)) == Delta("42", "hm")


def test_tags_in_the_content_are_thinking() -> None:
    """A server that does not part the thinking has it parted here."""
    reader = Reader(Splitter())
    deltas = [reader.read(chunk(content=piece)) for piece in ("<th", "ink>\nhm</thi", "nk>\n\n42")]
    assert [delta for delta in deltas if delta] == [Delta(reasoning="hm"), Delta("42")]


def test_what_was_held_back_comes_at_the_end() -> None:
    """The beginning of a tag that never came is text."""
    reader = Reader(Splitter())
    assert (reader.read(chunk(content="<th")), reader.flush()) == (None, Delta("<th"))


def test_a_server_that_parts_the_thinking_is_believed() -> None:
    """After a reasoning field, tags in the content are text."""
    reader = Reader(Splitter())
    reader.read(chunk(reasoning="hm"))
    assert reader.read(chunk(content="<think>")) == Delta("<think>")


def test_after_the_thinking_all_is_answer() -> None:
    """Where the thinking was closed before the stream, what a parser takes for reasoning is answer."""
    assert Reader(answering=True).read(chunk(reasoning="42")) == Delta("42")


def test_usage_is_read() -> None:
    """Token counts, their parts and the cost of the last chunk that has them are the usage."""
    reader = Reader()
    reader.read(ENDED)
    reader.read(
        {
            "choices": [],
            "usage": {
                "prompt_tokens": 10,
                "completion_tokens": 5,
                "completion_tokens_details": {"reasoning_tokens": 3},
                "prompt_tokens_details": {"cached_tokens": 8},
                "cost": 0.25,
            },
        }
    )
    done = reader.done()
    assert (done.usage, done.cost) == (Usage(10, 5, 3, 8, 1), Decimal("0.25"))


def test_a_server_without_usage_leaves_the_counts_at_zero() -> None:
    """Where no usage is reported, the call is counted and its tokens are not."""
    reader = Reader()
    reader.read(ENDED)
    assert (reader.done().usage, reader.done().cost) == (Usage(requests=1), None)


def test_the_cost_of_a_header_is_taken() -> None:
    """A gateway's cost header is the cost where the body has none."""
    reader = Reader()
    reader.read(ENDED)
    assert reader.done("0.5").cost == Decimal("0.5")


def test_the_identity_of_the_answer_is_kept() -> None:
    """Id, model, time, fingerprint and tier end up in the meta of Done."""
    meta = {"id": "1", "model": "m", "created": 5, "system_fingerprint": "f", "service_tier": "flex"}
    reader = Reader()
    reader.read({**ENDED, **meta, "object": "chat.completion.chunk"})
    assert reader.done().meta == meta


def test_a_whole_completion_is_one_delta() -> None:
    """A plain completion reads like a stream of one chunk; its tool calls are numbered."""
    message = {"role": "assistant", "content": "42", "tool_calls": [{"id": "a"}, {"id": "b"}]}
    reader = Reader()
    delta = reader.read({"choices": [{"index": 0, "message": message, "finish_reason": "tool_calls"}]})
    assert delta == Delta("42", tool_calls=({"index": 0, "id": "a"}, {"index": 1, "id": "b"}))
    assert reader.done().finish_reason == "tool_calls"


@pytest.mark.parametrize(("said", "reason", "stop"), [("max_tokens", "length", ""), ("eos", "stop", "eos")])
def test_foreign_finish_reasons_are_mapped(said: str, reason: str, stop: str) -> None:
    """Finish reasons outside the standard five become one of them; the unknown are kept as stop reason."""
    reader = Reader()
    reader.read({"choices": [{"delta": {}, "finish_reason": said}]})
    assert (reader.done().finish_reason, reader.done().stop_reason) == (reason, stop)


@pytest.mark.parametrize("said", [None, "error", "insufficient_system_resource"])
def test_an_unfinished_answer_is_no_answer(said: str | None) -> None:
    """Without a finish reason, or with one that tells of a failure, there is no Done."""
    reader = Reader()
    reader.read({"choices": [{"delta": {"content": "4"}, "finish_reason": said}]})
    with pytest.raises(UpstreamProtocol, match="not finished"):
        reader.done()


@pytest.mark.parametrize(("code", "status"), [(429, 429), ("503", 503), ("rate_limited", 500), (None, 500)])
def test_an_error_inside_the_stream_keeps_its_body(code: object, status: int) -> None:
    """An error event is a status error: with its code where that is a status, else 500."""
    with pytest.raises(UpstreamStatus) as caught:
        Reader().read({"error": {"message": "busy", "code": code}, "choices": []})
    assert caught.value.status == status
    assert b"busy" in caught.value.body


def test_other_choices_are_left_out() -> None:
    """Only the first choice is read."""
    value = {"choices": [{"index": 1, "delta": {"content": "b"}}, {"index": 0, "delta": {"content": "a"}}]}
    assert Reader().read(value) == Delta("a")
