"""Thinking and answer, parted by tags while they are written."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from forethought.thinking import THINK, Phase, Split, Splitter, Tags, overlap

TEXT = st.text(alphabet="<think/> ab\n", max_size=40)


CHANNELS = Tags("<a>", "</a>", "<f>")


def split(pieces: list[str], phase: Phase = Phase.BEFORE, tags: Tags = THINK) -> Split:
    splitter = Splitter(tags, phase)
    parts = [*map(splitter.feed, pieces), splitter.flush()]
    return Split("".join(part.reasoning for part in parts), "".join(part.answer for part in parts))


@given(TEXT, st.lists(st.integers(0, 40), max_size=6))
def test_any_cut_gives_the_same(text: str, cuts: list[int]) -> None:
    """However the text is cut into pieces, the parts are those of the whole."""
    edges = sorted({0, len(text), *(cut for cut in cuts if cut < len(text))})
    pieces = [text[start:end] for start, end in pairwise(edges)]
    assert split(pieces) == split([text])


@given(st.text(alphabet="ab <\n"), st.text(alphabet="ab </think>\n"))
def test_tags_part_thinking_from_answer(thought: str, answer: str) -> None:
    """What stands between the tags is the thinking, what follows them the answer, without the blanks after a tag."""
    assert split([f"\n<think>{thought}</think>{answer}"]) == (thought.lstrip(), answer.lstrip())


@given(st.text(alphabet="ab <\n"), st.text(alphabet="ab <\n"))
def test_an_open_thought_needs_no_opening_tag(thought: str, answer: str) -> None:
    """A stream that begins inside the thinking leaves it at the closing tag."""
    assert split([f"{thought}</think>{answer}"], Phase.THINKING) == (thought, answer.lstrip())


def test_quoted_tags_are_text() -> None:
    """A tag that follows the first word of an answer is part of the answer."""
    assert split(["use <think>x</think> tags"]) == ("", "use <think>x</think> tags")


@given(TEXT)
def test_only_what_may_be_a_tag_is_held(text: str) -> None:
    """Never more than the beginning of the closing tag is held back while thinking."""
    splitter = Splitter(phase=Phase.THINKING)
    splitter.feed(text)
    assert splitter.phase is Phase.ANSWERING or "</think>".startswith(splitter.held)
    assert overlap(text, "</think>") < len("</think>")


@given(st.text(alphabet="<af/> \n", max_size=40), st.lists(st.integers(0, 40), max_size=6))
def test_any_cut_gives_the_same_where_answers_have_a_tag(text: str, cuts: list[int]) -> None:
    """However the text is cut, the parts are those of the whole, also with a tag for the answer."""
    edges = sorted({0, len(text), *(cut for cut in cuts if cut < len(text))})
    pieces = [text[start:end] for start, end in pairwise(edges)]
    assert split(pieces, tags=CHANNELS) == split([text], tags=CHANNELS)


def test_a_tag_of_the_answer_opens_it() -> None:
    """The answer's own tag is no part of it, whether or not something was thought before."""
    assert split(["<a>so</a> <f> A <a>"], tags=CHANNELS) == ("so", "A <a>")
    assert split(["<f>A"], tags=CHANNELS) == ("", "A")


def test_thinking_goes_on_until_the_answer_opens() -> None:
    """Thoughts that follow each other are all thinking, and an answer may do without its tag."""
    assert split(["<a>so </a><a>and so</a>A"], tags=CHANNELS) == ("so and so", "A")
