"""What people see of a stream while it is written."""

from __future__ import annotations

from io import StringIO

import pytest
from rich.console import Console

from forethought import Delta, Note
from forethought.cli.telling import Telling


def told(*events: Delta | Note, terminal: bool) -> str:
    """What stderr shows of these events."""
    console = Console(file=StringIO(), force_terminal=terminal, width=80, color_system=None)
    with Telling(console, answer=True) as telling:
        for event in events:
            telling.show(event)
    assert isinstance(console.file, StringIO)
    return console.file.getvalue()


def test_thinking_on_a_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    """On a terminal the thinking is shown as it comes, and never on stdout."""
    assert "six times [b] seven" in told(Delta(reasoning="six times"), Delta(reasoning=" [b] seven"), terminal=True)
    assert capsys.readouterr().out == ""


def test_thinking_in_a_pipe() -> None:
    """Elsewhere the thinking is not shown."""
    assert told(Delta(reasoning="six times seven"), Note("candidate", "42", by="vote"), terminal=False) == ""


def test_notes_on_a_terminal() -> None:
    """Notes are lines of progress on a terminal."""
    assert "vote: candidate 42" in told(Note("candidate", "42", by="vote"), terminal=True)


def test_the_answer_as_it_is_written(capsys: pytest.CaptureFixture[str]) -> None:
    """The pieces of the answer go to stdout one after another, and end with a line break."""
    told(Delta("4"), Delta("2"), terminal=False)
    assert capsys.readouterr().out == "42\n"


def test_an_answer_that_ends_its_line(capsys: pytest.CaptureFixture[str]) -> None:
    """No second line break is added to an answer that has one."""
    told(Delta("42\n"), terminal=False)
    assert capsys.readouterr().out == "42\n"
