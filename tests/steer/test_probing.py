"""How the answer is asked for in mid-thought, and how it is read."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from forethought.errors import InvalidPolicy, MissingCapability
from forethought.ports import Bound, Capabilities, Continuation, Probed
from forethought.stack import stack
from forethought.steer.brake import Brake
from forethought.steer.probing import Agreement, read_answer
from forethought.steer.settle import Settle
from forethought.testing import Scripted

BOX = "the answer is \\boxed{"
LINE = "\nanswer "


@pytest.mark.parametrize(
    ("suffix", "said", "answer"),
    [
        (BOX, "42}. Done", "42"),
        (BOX, r"\frac{1}{2}}$", r"\frac{1}{2}"),
        (BOX, r"\{1, 2\}}", r"\{1, 2\}"),
        (BOX, "42 and so", ""),
        (BOX, "}", ""),
        (BOX, "?}", ""),
        (LINE, "5", "5"),
        (LINE, "5\nand more", "5"),
        (LINE, " 42. So that is it", "42"),
        (LINE, "", ""),
        (LINE, "...", ""),
    ],
)
def test_reading(suffix: str, said: str, answer: str) -> None:
    """The answer ends with its box, or with its line or sentence; what has no end in a box is none."""
    assert read_answer(suffix, said)[0] == answer


@pytest.mark.parametrize(
    ("said", "answer"),
    [
        ("42}. But wait", ""),
        ("42}. I know now", "42"),
        ("no}", "no"),
        ("42}. Hmm", ""),
        ("42}. I am another butler", "42"),
    ],
)
def test_doubt(said: str, answer: str) -> None:
    """An answer that is followed by doubt is none; a doubt is a whole word, and the answer `no` is not one."""
    assert Brake(probe=BOX).answer(Probed(said)) == answer


def agreed(*answers: str) -> tuple[int, int]:
    agreement = Agreement()
    for step, answer in enumerate(answers, 1):
        agreement.add(answer, step)
    return agreement.count, agreement.since


def test_equal_answers_agree() -> None:
    """Answers that are the same in another notation agree."""
    assert agreed("0.5", r"\frac{1}{2}", "1/2") == (3, 1)


def test_a_moved_answer_starts_anew() -> None:
    """Another answer in between breaks the row, even where the first one returns."""
    assert agreed("5", "7", "5", "5") == (2, 3)


def test_no_answer_agrees_with_nothing() -> None:
    """Empty answers never agree, and break a row."""
    assert agreed("", "", "")[0] == 0
    assert agreed("5", "", "5")[0] == 1


@given(st.lists(st.sampled_from(["", "5", "7"]), max_size=20))
def test_a_row_is_what_the_last_answers_are(answers: list[str]) -> None:
    """The count is the length of the row of equal answers at the end."""
    row = 0
    for answer in reversed(answers):
        if not answer or answer != answers[-1]:
            break
        row += 1
    assert agreed(*answers)[0] == row


@pytest.mark.parametrize("layer", [Brake(), Settle(), Settle(by="confidence")])
def test_needs_continuation(layer: Brake | Settle) -> None:
    """On a backend that cannot continue a thought these steers refuse when the stack is built."""
    backend = Scripted("42", capabilities=Capabilities("turns", Continuation.TURNS, logprobs=True))
    with pytest.raises(MissingCapability, match="continue inside the thinking"):
        stack(backend, [layer])


def test_worst_case() -> None:
    """Probes are bounded in number and in tokens, and the bound says so."""
    assert Brake(probes=4, probe_tokens=10).worst_case(Bound(1, 1_000)) == Bound(7, 1_040)


@pytest.mark.parametrize("options", [{"probes": 0}, {"probe_tokens": 0}, {"lines": -1}])
def test_options(options: dict[str, int]) -> None:
    """A number out of its range is named with the layer and the option."""
    with pytest.raises(InvalidPolicy, match=f"brake.{next(iter(options))}"):
        Brake(**options)  # type: ignore[arg-type]
