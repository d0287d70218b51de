"""What an evaluation found, as Markdown."""

from __future__ import annotations

from hypothesis import given, settings

from forethought.evaluate.markdown import markdown, table
from forethought.evaluate.outcome import Outcome

from .outcomes import OUTCOMES, outcome

PLAIN = [outcome(i, right=i % 2 == 0, tokens=100) for i in range(40)]
BETTER = [outcome(i, tokens=40) for i in range(40)]


def rows(text: str) -> list[list[str]]:
    return [[cell.strip() for cell in line.strip("|").split(" | ")] for line in text.splitlines() if line[:1] == "|"]


def test_each_policy_has_a_row() -> None:
    """Accuracy and each kind of tokens stand there with their intervals."""
    found = rows(markdown({"plain": PLAIN}))
    assert [row[0] for row in found] == ["policy", "---", "`plain`"]
    assert found[2][3].startswith("50.0 % (3")
    assert found[2][4:7] == ["105 (105 to 105)", "105 (105 to 105)", "100 (100 to 100)"]


def test_each_other_policy_is_set_against_the_first() -> None:
    """The second table has a row for each policy but the first; what differs beyond chance is bold."""
    found = rows(markdown({"plain": PLAIN, "better": BETTER, "same": PLAIN}))
    better, same = found[-2:]
    assert better[:3] == ["`better`", "`plain`", "40"]
    assert better[3].startswith("**+50.0 (")
    assert better[-1] == "-60 % (-60 to -60)"
    assert same[3] == "+0.0 (+0.0 to +0.0)"


def test_failures_are_told() -> None:
    """Failed problems are counted beside the answered ones."""
    assert rows(markdown({"plain": [*PLAIN, outcome(99, right=None, error="E")]}))[2][1:3] == ["40", "1"]


def test_a_bar_in_a_cell() -> None:
    """A bar in a cell does not end it."""
    assert table(["a"], [["x|y"]]).splitlines()[-1] == r"| x\|y |"


@settings(max_examples=20, deadline=None)
@given(OUTCOMES, OUTCOMES)
def test_any_outcomes(ours: list[Outcome], theirs: list[Outcome]) -> None:
    """Whatever came out, every row of a table has as many cells as its head."""
    found = markdown({"a": ours, "b": theirs})
    assert {len(row) for row in rows(found)} <= {7, 9}
