"""What the table of a trial says, and which scale it recommends."""

from __future__ import annotations

from io import StringIO

import pytest
from rich.console import Console

pytest.importorskip("scipy")

from forethought.cli.steer_vector_trial import Outcome, Trial

ALL, HALF, NONE = [True] * 40, [True, False] * 20, [False] * 40
LONG, SHORT, SHORTER = [100, 120] * 20, [80, 90] * 20, [40, 50] * 20


def shown(*trials: Trial, width: int = 100) -> str:
    console = Console(width=width, record=True, file=StringIO())
    console.print(Outcome(trials))
    return console.export_text()


def test_the_shortest_that_costs_nothing_is_best() -> None:
    """Of the scales that keep the answers right, the one with the shortest thoughts is named."""
    outcome = Outcome([Trial(1, ALL, SHORT), Trial(0, ALL, LONG), Trial(2, ALL, SHORTER)])
    assert outcome.best is not None
    assert (outcome.best.scale, round(outcome.best.tokens.value, 2)) == (2, -0.59)


def test_what_costs_answers_is_not_best() -> None:
    """A scale that surely loses answers is not named, however short its thoughts are."""
    outcome = Outcome([Trial(0, ALL, LONG), Trial(1, ALL, SHORT), Trial(2, NONE, SHORTER)])
    assert outcome.best is not None
    assert outcome.best.scale == 1


@pytest.mark.parametrize("other", [Trial(1, HALF, SHORT), Trial(-1, ALL, LONG), Trial(1, ALL, [2 * n for n in LONG])])
def test_nothing_may_help(other: Trial) -> None:
    """Where nothing shortens without a loss, that is said."""
    assert "At no scale are thoughts surely shorter and answers not surely worse." in shown(other, Trial(0, ALL, LONG))


def test_rows_are_in_order_of_scale() -> None:
    """The table goes from the most negative to the most positive scale, with intervals; no steering has no change."""
    rows = shown(Trial(0.5, ALL, SHORT), Trial(-2, HALF, SHORTER), Trial(0, ALL, LONG)).splitlines()[2:5]
    assert [row.split()[0] for row in rows] == ["-2", "0", "0.5"]
    assert rows[1].endswith("–")
    assert "110.0 [107" in rows[1]
    assert rows[2].split()[-3] == "-23%"


@pytest.mark.parametrize("width", [80, 100])
def test_the_table_fits(width: int) -> None:
    """No line is wider than the terminal."""
    text = shown(Trial(-0.25, HALF, SHORT), Trial(0, ALL, LONG), width=width)
    assert max(map(len, text.splitlines())) <= width
