"""Where words go: answers and tables to stdout, everything about them to stderr."""

from __future__ import annotations

from rich.console import Console


def to_pipe() -> Console:
    """The console of stdout: plain text when it is not a terminal, or where NO_COLOR is set."""
    return Console(highlight=False)


def to_people() -> Console:
    """The console of stderr, which a pipe does not see."""
    return Console(stderr=True, highlight=False)


def complain(text: object) -> None:
    """One line on stderr about what went wrong."""
    to_people().print(f"forethought: {text}", style="red", markup=False, soft_wrap=True)
