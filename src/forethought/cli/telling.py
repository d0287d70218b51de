"""Tells people what a stream is doing: progress and thinking to stderr, the answer to stdout as it is written."""

from __future__ import annotations

from types import TracebackType
from typing import Self

import typer
from rich.console import Console

from ..trace import Run
from ..wire import Completion, Delta, Event, Note


class Telling:
    """Shows one stream; with `answer` its text goes to stdout. Thinking is shown on a terminal only."""

    def __init__(self, people: Console, *, answer: bool) -> None:
        self._people = people
        self._answer = answer
        self._status = people.status("thinking …", spinner="dots")
        self._mid_line = ""

    def __enter__(self) -> Self:
        if self._people.is_terminal:
            self._status.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._status.stop()
        self._end_line()

    def say(self, text: str) -> None:
        """One line about what is going on."""
        self._end_line()
        self._people.print(text, style="dim", markup=False, soft_wrap=True)

    def show(self, event: Event) -> None:
        if isinstance(event, Delta):
            self._write(event)
        elif isinstance(event, Note) and self._people.is_terminal:
            self.say(_progress(event))

    def _write(self, delta: Delta) -> None:
        self._status.stop()
        if delta.reasoning and self._people.is_terminal:
            self._people.print(delta.reasoning, end="", style="dim italic", markup=False, soft_wrap=True)
            self._mid_line = "" if delta.reasoning.endswith("\n") else "thinking"
        if delta.text and self._answer:
            if self._mid_line == "thinking":
                self._end_line()
            typer.echo(delta.text, nl=False)
            self._mid_line = "" if delta.text.endswith("\n") else "answer"

    def _end_line(self) -> None:
        """End the line that is being written, where it is being written."""
        if self._mid_line:
            typer.echo(err=self._mid_line == "thinking")
            self._mid_line = ""


def summary(completion: Completion, run: Run) -> str:
    """One line on how a run ended and what it took."""
    done = completion.done
    report = done.report
    samples = (
        f"{report['samples']} of {report['samples'] + report['samples_saved']} samples" if "samples" in report else ""
    )
    cost = "cost unknown" if done.cost is None else f"${done.cost:f}" if done.cost else ""
    took = f"{done.usage.completion_tokens} tokens in {run.root.duration_s or 0:.2f} s"
    calls = f"{done.usage.requests} call{'s' if done.usage.requests != 1 else ''}"
    return " · ".join(part for part in (done.stop_reason or done.finish_reason, samples, calls, took, cost) if part)


def _progress(note: Note) -> str:
    by = f"{note.by}: " if note.by else ""
    return f"{by}{note.kind} {' '.join(note.text.split())}".rstrip()[:200]
