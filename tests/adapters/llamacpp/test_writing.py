"""From the bytes of tokens to deltas."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from forethought.thinking import THINK, Phase
from forethought.wire import Delta, TokenLogprob
from forethought_adapters.llamacpp.tools import HERMES, Tools
from forethought_adapters.llamacpp.writing import Writer


def cut(text: bytes, places: list[int]) -> list[bytes]:
    ends = sorted({place % (len(text) + 1) for place in places} | {len(text)})
    return [text[start:end] for start, end in zip([0, *ends], ends, strict=False)]


def written(writer: Writer, pieces: list[bytes], *, logprobs: bool = False) -> list[Delta]:
    deltas = [
        writer.write(piece, TokenLogprob(repr(piece), -float(index)) if logprobs else None)
        for index, piece in enumerate(pieces)
    ]
    return [delta for delta in (*deltas, writer.finish()) if delta is not None]


PLACES = st.lists(st.integers(0, 200), max_size=20)


@given(st.text(max_size=30).map(str.strip), st.text(max_size=30).map(str.strip), PLACES)
def test_any_cut_parts_thinking_from_answer(thought: str, answer: str, places: list[int]) -> None:
    """Wherever tokens cut characters and tags, thinking and answer come out whole."""
    thought, answer = thought.replace("<", ""), answer.replace("<", "")
    deltas = written(Writer(THINK, Phase.BEFORE), cut(f"<think>{thought}</think>{answer}".encode(), places))
    assert "".join(delta.reasoning for delta in deltas) == thought
    assert "".join(delta.text for delta in deltas) == answer


@given(st.text(max_size=40), PLACES)
def test_every_token_has_its_logprob(text: str, places: list[int]) -> None:
    """Each token's logprob goes out once, in order, whatever was held back."""
    pieces = cut(text.encode(), places)
    deltas = written(Writer(THINK, Phase.BEFORE), pieces, logprobs=True)
    assert [each.logprob for delta in deltas for each in delta.logprobs] == [-float(i) for i in range(len(pieces))]


CALL = '<tool_call>{"name": "f", "arguments": {}}</tool_call>'
PARTS = st.sampled_from([CALL, "<tool_call>", "</tool_call>", "a\n", "é", "END"])


@given(st.lists(PARTS, max_size=6).map("".join), PLACES)
def test_calls_lose_no_logprob(text: str, places: list[int]) -> None:
    """Where calls are read, too, each token's logprob goes out once and in order, however the tokens cut."""
    pieces = cut(text.encode(), places)
    writer = Writer(THINK, Phase.ANSWERING, tools=Tools(HERMES, frozenset("f")))
    deltas = written(writer, pieces, logprobs=True)
    assert [each.logprob for delta in deltas for each in delta.logprobs] == [-float(i) for i in range(len(pieces))]
    assert writer.called == any(delta.tool_calls for delta in deltas) == (CALL in text)


@given(st.lists(PARTS, max_size=6).map("".join), PLACES)
def test_a_stop_string_ends_calls_too(text: str, places: list[int]) -> None:
    """What follows a stop string is neither text nor call."""
    stopped = written(
        Writer(THINK, Phase.ANSWERING, ["END"], Tools(HERMES, frozenset("f"))), cut(text.encode(), places)
    )
    whole = written(
        Writer(THINK, Phase.ANSWERING, (), Tools(HERMES, frozenset("f"))), [text.partition("END")[0].encode()]
    )
    assert "".join(delta.text for delta in stopped) == "".join(delta.text for delta in whole)
    assert sum(len(delta.tool_calls) for delta in stopped) == sum(len(delta.tool_calls) for delta in whole)


def test_half_a_character_is_never_shown() -> None:
    """Bytes of a character wait for the rest; at the end half a character is dropped."""
    writer = Writer(THINK, Phase.ANSWERING)
    assert written(writer, ["é".encode()[:1], "é".encode()[1:], "€".encode()[:2]]) == [Delta(text="é")]


def test_a_stop_string_does_not_cut_a_thought() -> None:
    """Stop strings are looked for in the answer alone."""
    writer = Writer(THINK, Phase.THINKING, ["x"])
    deltas = written(writer, [b"a x b", b"</think>", b"c x d"])
    assert [(delta.reasoning, delta.text) for delta in deltas] == [("a x b", ""), ("", "c ")]
    assert writer.stopped


def test_logprobs_of_what_is_cut_off_are_not_shown() -> None:
    """The logprobs end with the text: those of the stop string are left out."""
    deltas = written(Writer(THINK, Phase.ANSWERING, ["END"]), [b"one", b"E", b"ND"], logprobs=True)
    assert [each.token for delta in deltas for each in delta.logprobs] == ["b'one'"]


def test_reasoning_tokens_are_counted() -> None:
    """Tokens of the thinking count as reasoning, its closing tag included, those of the answer do not."""
    writer = Writer(THINK, Phase.BEFORE)
    written(writer, [b"<think>", b"a", b"b", b"</think>", b"c", b"d"])
    assert writer.reasoning_tokens == 4
