"""Brake, loop and settle, replayed over recorded thoughts of real models: what they save, and whose answers change.

    FORETHOUGHT_DATA=… python tests/bench/thoughts.py [--sets WORD]

Each steer is fed a recorded thought word by word and decides as it would while the model writes. Every line is a step,
since these thoughts have no blank lines, and `settle` asks every 16 tokens, since they are short. The model is not
there, and the record stands in for it:

- A probe is answered by the value that the thought has concluded last (`last`). A model would work on from there, so
  that agreement comes too early: an intermediate result counts twice if nothing was concluded in between. The other
  extreme (`anew`) gives back a value only if it was concluded since the last probe. The truth lies in between.
- After a stop the value concluded last is the answer.
- A nudge is let pass: the record goes on as it was.
- Tokens are words, of which long ones count as more (four characters each).

No logprobs were recorded, so that `settle` by confidence and `compress` cannot be replayed.

The thoughts of the first four sets stand in `<think>` tags; the others are worked solutions, read as if they were
thoughts. Intervals are 95 % by the bootstrap over problems, since thoughts on one problem are alike. `possible` is what
would be saved by stopping each thought where it first concludes its final answer, which nobody can know.
"""

from __future__ import annotations

import argparse
import gzip
import json
import os
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from statistics import median
from typing import Any

from rich.console import Console
from rich.progress import track
from rich.table import Table

from forethought.answers import canonical, same
from forethought.evaluate.statistics import growth
from forethought.ports import Probe, Probed, Situation, Stop
from forethought.steer.brake import Brake
from forethought.steer.drive import Steered
from forethought.steer.loop import Loop
from forethought.steer.settle import Settle
from forethought.steer.steps import Steps
from forethought.testing import SCRIPTED, words
from forethought.wire import Delta, Request

SETS = {
    "AMC23, 3B, step 400": "rg_math_llama3b/amc23_step400",
    "AMC23, 3B, step 800": "rg_math_llama3b/amc23_step800",
    "AIME24, 3B, step 400": "rg_math_llama3b/aime24_step400",
    "AIME24, 3B, step 800": "rg_math_llama3b/aime24_step800",
    "MATH solutions, Qwen2.5-Math": "qwen25math_rm/math100_x8_rm",
    "date solutions": "verify_cot/date_natural_program_x10",
}
LAST, ANEW = "last", "anew"
STEERS: Mapping[str, tuple[Steered, str]] = {
    "brake, last": (Brake(lines=1), LAST),
    "brake, anew": (Brake(lines=1), ANEW),
    "settle, last": (Settle(lines=1, every=16), LAST),
    "settle, anew": (Settle(lines=1, every=16), ANEW),
    "loop": (Loop(), LAST),
}


@dataclass(frozen=True, slots=True)
class Thought:
    """A recorded thought on one problem, and the answer that was given after it, "" where none was."""

    problem: str
    text: str
    answer: str
    gold: str

    @property
    def right(self) -> bool:
        return _same(self.answer, self.gold)

    @property
    def stated(self) -> int | None:
        """Where the final answer is concluded for the first time, in characters; None where it never is."""
        wanted = canonical(self.answer) if self.answer else None
        found = _CONCLUSION.finditer(self.text) if wanted is not None else ()
        return next((match.end() for match in found if _key(_value(match)) == wanted), None)


@dataclass(frozen=True, slots=True)
class Replayed:
    """One thought under one steer: tokens of the thought until it was stopped, and those of its probes.

    `stop` is where it was stopped, in characters, None where it was not; `answer` what it had concluded there.
    """

    thought: Thought
    whole: int
    read: int
    probed: int
    probes: int
    stop: int | None
    answer: str

    @property
    def right(self) -> bool:
        return _same(self.answer, self.thought.gold)

    @property
    def changed(self) -> bool:
        return not _same(self.answer, self.thought.answer)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--sets", default="", help="only those with this in their name")
    options = parser.parse_args()
    data = Path(os.environ.get("FORETHOUGHT_DATA") or sys.exit("FORETHOUGHT_DATA names no directory of recordings"))
    table = Table("set", "steer", title="Recorded thoughts, steered")
    for name in COLUMNS:
        table.add_column(name, justify="right")
    for name, where in SETS.items():
        file = data / f"{where}.jsonl.gz"
        if options.sets in name and file.exists():
            _rows(table, name, list(_thoughts(file)))
    Console(width=None if sys.stdout.isatty() else 200).print(table)


def _thoughts(file: Path) -> Iterator[Thought]:
    with gzip.open(file, "rt", encoding="utf-8") as lines:
        for row in map(json.loads, lines):
            yield from (_thought(row, sample) for sample in row["samples"])


def _thought(row: Mapping[str, Any], sample: Mapping[str, Any]) -> Thought:
    """What stands before the closing tag, or all of a solution; its answer is the one that was recorded beside it."""
    text = sample["text"].partition("</think>")[0].partition("<answer>")[0].removeprefix("<think>")
    return Thought(str(row["id"]), text, str(sample["answer"] or ""), str(row["gold"]))


def replay(steer: Steered, thought: Thought, reading: str) -> Replayed:
    """Feed the thought to the steer until it stops it or the thought ends."""
    steering = steer.steer(Situation(Request.of(""), SCRIPTED))
    decision = next(steering)
    pieces = [Delta(reasoning=word) for word in words(thought.text)]
    read = probed = probes = at = since = 0
    for piece in pieces:
        read += _tokens(piece)
        at += len(piece.reasoning)
        decision = steering.send(piece)
        while isinstance(decision, Probe):
            answer = concluded(thought.text[since if reading == ANEW else 0 : at])
            probes, since = probes + 1, at
            probed += _tokens(Delta(text=f"{answer}}}"))
            decision = steering.send(Probed(f"{answer}}}" if answer else ""))
        if isinstance(decision, Stop):
            break
    stop = at if isinstance(decision, Stop) else None
    answer = thought.answer if stop is None else concluded(thought.text[:at])
    return Replayed(thought, sum(map(_tokens, pieces)), read, probed, probes, stop, answer)


def _tokens(piece: Delta) -> int:
    return piece.tokens(SCRIPTED.chars_per_token)


def concluded(thought: str) -> str:
    """The value that a thought has concluded last, or ""."""
    found = list(_CONCLUSION.finditer(thought[-TAIL:]))
    return _value(found[-1]) if found else ""


def _value(found: re.Match[str]) -> str:
    return next(filter(None, found.groups()), "")


@lru_cache(maxsize=100_000)
def _key(answer: str) -> Any:
    return canonical(answer)


@lru_cache(maxsize=100_000)
def _same(left: str, right: str) -> bool:
    return bool(left) and same(left, right)


def _rows(table: Table, name: str, thoughts: Sequence[Thought]) -> None:
    first = {thought: thought.stated for thought in thoughts}
    right = sum(each.right for each in thoughts)
    steps = median(len(_steps(thought)) for thought in thoughts)
    table.add_row(name, "possible", f"{len(thoughts)}", f"{right}", f"{steps:.0f}", "", "", _possible(thoughts, first))
    for label, (steer, reading) in STEERS.items():
        found = [replay(steer, each, reading) for each in track(thoughts, f"{name}: {label}", transient=True)]
        stops = [each for each in found if each.stop is not None]
        sides = [each.stop >= where for each in stops if each.stop and (where := first[each.thought]) is not None]
        table.add_row(
            "",
            label,
            "",
            "",
            "",
            f"{sum(each.probes for each in found) / len(found):.1f}",
            f"{len(stops)}",
            _saved([(each.thought.problem, each.read, each.whole) for each in found]),
            _saved([(each.thought.problem, each.read + each.probed, each.whole) for each in found]),
            str(sum(each.changed for each in stops)),
            str(sum(each.thought.right and not each.right for each in stops)),
            str(sum(each.right and not each.thought.right for each in stops)),
            f"{sum(sides)} : {len(sides) - sum(sides)}",
            end_section=label == list(STEERS)[-1],
        )


def _steps(thought: Thought) -> list[str]:
    steps = Steps(lines=1)
    return [*steps.feed(thought.text), *steps.flush()]


def _possible(thoughts: Sequence[Thought], first: Mapping[Thought, int | None]) -> str:
    ends = [len(each.text) if (at := first[each]) is None else at for each in thoughts]
    return _saved([(each.problem, end, len(each.text)) for each, end in zip(thoughts, ends, strict=True)])


def _saved(parts: Sequence[tuple[str, int, int]]) -> str:
    """How much less was read than the whole, in percent, from problem, read and whole of each thought."""
    sums: dict[str, tuple[int, int]] = {}
    for problem, read, whole in parts:
        before = sums.get(problem, (0, 0))
        sums[problem] = before[0] + read, before[1] + whole
    ours, theirs = zip(*sums.values(), strict=True)
    more = growth(ours, theirs)
    value, low, high = (f"{-100 * each + 0.0:.1f}" for each in (more.value, more.high, more.low))
    return f"{value} % ({low} to {high})"


TAIL = 4_000
"""Characters at the end of a thought in which its last conclusion is looked for."""
COLUMNS = (
    "thoughts", "right", "steps", "probes", "stopped", "saved", "net of probes", "changed", "right to wrong",
    "wrong to right", "stops after : before it was first concluded",
)  # fmt: skip
_NUMBER = r"[-+]?\$?\d[\d,]*(?:\.\d+)?(?:/\d+)*"
_CONCLUSION = re.compile(
    r"\\boxed\s*\{((?:[^{}]|\{[^{}]*\})*)\}"
    rf"|(?:=|\bis|\bare|\bwas|\bget|\bequals?|\banswer:?)\s*(?:\\\(|\$|\\approx|approximately|\s)*"
    rf"(\\d?frac\s*\{{[^{{}}]*\}}\s*\{{[^{{}}]*\}}|{_NUMBER})(?![\d(*^])"
)

if __name__ == "__main__":
    main()
