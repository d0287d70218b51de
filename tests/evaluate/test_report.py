"""What people see of an evaluation."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from decimal import Decimal
from io import StringIO
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.console import Console

from forethought.evaluate.outcome import Outcome
from forethought.evaluate.report import picture, report

from .outcomes import OUTCOMES, outcome

RESULTS = {
    "plain": [outcome(i, right=i % 2 == 0, tokens=100, difficulty=i % 4) for i in range(40)],
    "better": [outcome(i, tokens=40, difficulty=i % 4) for i in range(40)],
}


def shown(results: Mapping[str, Sequence[Outcome]], *, levels: bool = False, width: int = 80) -> str:
    page = StringIO()
    Console(file=page, width=width, highlight=False).print(report(results, levels=levels))
    return page.getvalue()


def test_accuracy_and_tokens_are_shown_with_their_intervals() -> None:
    """The table has the value of each, and below it the interval."""
    text = shown(RESULTS)
    assert re.search(r"plain +50\.0 % +105 ", text)
    assert re.search(r"n = 40 +3\d\.\d–6\d\.\d +105–105", text)


def test_what_is_significant_is_said() -> None:
    """A policy that is right more often for less is said to be so, and by how much."""
    text = shown(RESULTS)
    assert re.search(r"better +\+50\.0 +-57 % +-57 % +-60 %", text)
    words = "significantly more accurate, fewer tokens, fewer computed, fewer written."
    assert f"better against plain, on 40 problems: {words}" in " ".join(text.split())


def test_the_same_twice_is_no_difference() -> None:
    """Equal outcomes are said not to differ."""
    same = {"one": RESULTS["plain"], "two": RESULTS["plain"]}
    assert "no significant difference" in " ".join(shown(same).split())


def test_failures_are_told() -> None:
    """How many failed, and how the first did, stands below the table."""
    text = shown({"p": [outcome(0), outcome(1, right=None, error="UpstreamStatus: upstream answered 400")]})
    assert "p: 1 of 2 problems failed" in text
    assert "answered 400" in text


@pytest.mark.parametrize(("cost", "said"), [(Decimal(0), "–"), (None, "?"), (Decimal("0.25"), "$0.5000")])
def test_money_is_the_sum_and_never_invented(cost: Decimal | None, said: str) -> None:
    """A local model costs nothing, and an unknown price is not shown as one."""
    rows = shown({"p": [outcome(0, cost=cost), outcome(1, cost=cost)]}).splitlines()
    assert next(row for row in rows if row.startswith("p ")).split()[-1] == said


def test_difficulties_have_a_table() -> None:
    """On demand accuracy is shown for each difficulty and for the hardest quarter."""
    text = shown(RESULTS, levels=True)
    assert re.search(r"plain +100% +0% +100% +0% +0\.0 %", text)
    assert "3 and above" in text


def test_equal_difficulties_need_no_table() -> None:
    """Where the problems do not tell how hard they are, that is said."""
    assert "do not differ in difficulty" in shown({"p": [outcome(0), outcome(1)]}, levels=True)


def test_names_are_not_markup() -> None:
    """A policy may be called anything."""
    assert "[b]x[/y]" in shown({"[b]x[/y]": [outcome(0)]})


def test_policies_without_a_result_are_left_out() -> None:
    """What was not asked before an interruption is not shown."""
    assert "later" not in shown({"now": [outcome(0)], "later": []})
    assert "accuracy" in shown({"later": []}, levels=True)


@settings(deadline=None, max_examples=15)
@given(st.dictionaries(st.sampled_from(["a", "b", "c"]), OUTCOMES, max_size=3))
def test_any_outcomes_can_be_shown(results: dict[str, list[Outcome]]) -> None:
    """No mix of right, wrong and failed breaks the report."""
    assert "accuracy" in shown(results, levels=True)


def test_a_picture_is_written(tmp_path: Path) -> None:
    """The picture is well-formed SVG, names every policy, and takes its ink from light or dark."""
    picture(RESULTS, tmp_path / "plot.svg")
    text = (tmp_path / "plot.svg").read_text(encoding="utf-8")
    assert ET.fromstring(text).tag == "{http://www.w3.org/2000/svg}svg"
    assert all(word in text for word in ("plain", "better", "currentColor", "prefers-color-scheme:dark"))


def test_a_picture_is_the_same_again(tmp_path: Path) -> None:
    """The same results are drawn as the same bytes."""
    for name in ("a.svg", "b.svg"):
        picture(RESULTS, tmp_path / name)
    assert (tmp_path / "a.svg").read_bytes() == (tmp_path / "b.svg").read_bytes()


@pytest.mark.parametrize("results", [{}, {"p": [outcome(0)]}, {"p": [outcome(0, tokens=0), outcome(1, tokens=10**6)]}])
def test_little_can_be_drawn_too(tmp_path: Path, results: dict[str, list[Outcome]]) -> None:
    """Nothing, or a single answer without an interval, makes a picture."""
    picture(results, tmp_path / "plot.svg")
    assert ET.parse(tmp_path / "plot.svg").getroot() is not None
