"""What is quoted becomes no special token."""

from __future__ import annotations

import re

from hypothesis import given
from hypothesis import strategies as st

from forethought_adapters.llamacpp.guard import CUT, Marks

SPELLED = ["<|end|>", "|end", "<<", "[x]", "[x][x]"]
MARKS = Marks(SPELLED)
TEXTS = st.lists(st.sampled_from([*SPELLED, *"<|>[]xend "]), max_size=12).map("".join)


def tokens(text: str) -> list[str]:
    """The marks that a tokenizer would read in `text`."""
    whole = "|".join(map(re.escape, sorted(SPELLED, key=len, reverse=True)))
    return [mark for piece in text.split(CUT) for mark in re.findall(whole, piece)]


@given(TEXTS)
def test_no_mark_is_left(text: str) -> None:
    """Between the cuts no mark is spelled, and without them the text is what it was."""
    guarded = MARKS.guard(text)
    assert tokens(guarded) == []
    assert guarded.replace(CUT, "") == text


@given(st.lists(TEXTS, min_size=1, max_size=4))
def test_no_mark_comes_of_neighbours(texts: list[str]) -> None:
    """Texts that follow each other directly make up no mark together."""
    assert tokens("".join(map(MARKS.guard, texts))) == []


@given(st.text())
def test_a_text_without_marks_stays(text: str) -> None:
    """Where nothing looks like a part of a mark nothing is cut."""
    plain = re.sub(r"[<|>\[\]endx\ufdd0]", "", text)
    assert MARKS.guard(plain) == plain


def test_marks_may_be_spared() -> None:
    """A mark that is spared stays whole, others do not."""
    assert tokens(MARKS.guard("a[x]b<|end|>", spared=["[x]"])) == ["[x]"]


def test_every_text_in_a_value_is_guarded() -> None:
    """Texts in lists and objects are guarded, names too, and what is no text stays."""
    guarded = MARKS.guard_all({"a <|end|>": [1, None, True, {"b": "the [x]."}]})
    assert guarded == {f"a <{CUT}|{CUT}end|>": [1, None, True, {"b": f"the [{CUT}x]."}]}


def test_without_marks_nothing_is_cut() -> None:
    """A vocabulary without special tokens needs no care."""
    assert Marks().guard("<|end|>") == "<|end|>"
