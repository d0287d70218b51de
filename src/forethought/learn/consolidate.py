"""The Consolidator: makes the next memory out of policies that answered the same problem, by comparing them.

After experience-guided reasoning (EGuR, arXiv 2511.11519). Learning is relative: right answers count first, and cost
only between answers that are as good. What is written are counts and lines of our own, never a model's text.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from functools import reduce
from typing import Literal

from ..answers import same
from ..wire import JSON
from .memory import ENOUGH, Cell, Memory, Record, identity, wilson
from .signature import Signature
from .trial import sign_test

LEVEL = 0.01
"""How likely a policy that is no better may pass the test at one look; there are many looks, so it is below 0.05."""
EPSILON = 0.05
"""The part of the accuracy that may be given up for cost."""
LEAST = 3
"""Problems of a kind on which a policy must have been compared, and not have lost, before similar kinds count too."""
RIGHT = 0.5
"""The score from which an answer counts as right."""

CELLS = 64
RECORDS = 24
EXAMPLES = 4
NOTES = 40
"""How much a memory holds at most: cells, and in each of them records and examples; and notes."""


@dataclass(frozen=True, slots=True)
class Attempt:
    """What one policy answered: `answer` as it is compared, tokens computed, USD where known, and its score if any."""

    policy: JSON
    answer: str
    tokens: int
    cost: Decimal | None = None
    score: float | None = None
    origin: str = ""


@dataclass(frozen=True, slots=True)
class Comparison:
    """One problem, answered by one policy or several; `default` is the identity of the one to beat.

    `returned` is the index of the attempt that the caller got, `example` a hash of the question.
    """

    signature: Signature
    attempts: tuple[Attempt, ...]
    default: str
    returned: int = 0
    example: str = ""

    def scored(self, score: float, answer: str | None = None) -> Comparison:
        """The same with what is known of each attempt once the returned one got `score`.

        Equal answers share its score, and where it was right, different ones are wrong. Where `answer`, the right
        one, is known, it decides of all but the returned one.
        """
        given = self.attempts[self.returned]
        told = [self._score(each, given, score, answer) for each in self.attempts]
        attempts = [replace(each, score=value) for each, value in zip(self.attempts, told, strict=True)]
        return replace(self, attempts=tuple(attempts))

    @staticmethod
    def _score(each: Attempt, given: Attempt, score: float, answer: str | None) -> float | None:
        if each is given or same(each.answer, given.answer):
            return score
        if answer is not None:
            return float(same(each.answer, answer))
        return 0.0 if score >= RIGHT else None


def consolidate(memory: Memory, comparison: Comparison, *, epsilon: float = EPSILON) -> Memory:
    """The memory after a comparison; attempts without a score add to the cost alone.

    A policy leaves quarantine when it won against the default (see `verdict`); problems of similar kinds count too,
    once it was compared on LEAST of this one. It is retired when it lost on this kind. The default is active and never
    retired. Each change of state writes a note.
    """
    cell = memory.cell(comparison.signature) or _opened(memory, comparison.signature)
    records = _counted(cell.records, comparison)
    lent = [each.records for each in memory.near(cell.signature)]
    settled = {name: _settled(name, [records, *lent], comparison.default, epsilon) for name in records}
    notes = tuple(
        note(cell, settled[name], settled.get(comparison.default))
        for name in settled
        if settled[name].state != records[name].state
    )
    examples = tuple(dict.fromkeys(filter(None, (*cell.examples, comparison.example))))[:EXAMPLES]
    changed = replace(cell, records=_bounded(settled, comparison.default), examples=examples)
    cells = [changed if each is cell else each for each in memory.cells]
    cells += [] if cell in memory.cells else [changed]
    scored = any(attempt.score is not None for attempt in comparison.attempts) and len(comparison.attempts) > 1
    return Memory(tuple(cells), (*memory.notes, *notes)[-NOTES:], memory.compared + scored)


def _opened(memory: Memory, signature: Signature) -> Cell:
    """A cell of its own for a new kind, as long as there is room; else the most similar one."""
    if len(memory.cells) < CELLS:
        return Cell(signature)
    return max(memory.cells, key=lambda cell: signature.similarity(cell.signature))


def _counted(known: Mapping[str, Record], comparison: Comparison) -> dict[str, Record]:
    records = dict(known)
    base = next((each for each in comparison.attempts if identity(each.policy) == comparison.default), None)
    for attempt in comparison.attempts:
        name = identity(attempt.policy)
        fresh = Record(attempt.policy, "active" if attempt is base else "quarantined", attempt.origin)
        record = records.get(name, fresh).plus(_single(attempt))
        if base is not None and attempt is not base:
            record = record.plus(_paired(attempt, base))
        records[name] = record
    return records


def _single(attempt: Attempt) -> Record:
    scored = attempt.score is not None
    return Record(
        attempt.policy, trials=int(scored), score=attempt.score or 0.0, runs=1, tokens=attempt.tokens, cost=attempt.cost
    )


def _paired(attempt: Attempt, base: Attempt) -> Record:
    """What the comparison with the default adds."""
    none = Record(attempt.policy)
    if attempt.score is None or base.score is None:
        return none
    if attempt.score != base.score:
        won = attempt.score > base.score
        return replace(none, pairs=1, better=int(won), worse=int(not won))
    right = attempt.score >= RIGHT
    saved = base.tokens - attempt.tokens
    return replace(none, pairs=1, cheaper=int(right and saved > 0), dearer=int(right and saved < 0))


def verdict(record: Record, default: Record | None, epsilon: float) -> Literal["won", "lost", "undecided"]:
    """Whether a policy has beaten the default on one kind of problem.

    Won: it was right more often, by an exact sign test at LEVEL over the problems where one of the two was; or it
    was cheaper, by the same test over those where both were, and gave up no more than `epsilon` of the answers; or,
    over all that was scored, its lower bound of accuracy (Wilson, 95 %) is within `epsilon` of the default's
    accuracy, at a lower mean cost. Lost: it was wrong more often, by the same test and by more than `epsilon`; or it
    was dearer, by the same test, and surely no more often right by more than `epsilon`.
    """
    gained = record.better - record.worse
    margin = epsilon * record.pairs
    discordant = record.better + record.worse
    if sign_test(record.better, discordant) <= LEVEL:
        return "won"
    if gained < -margin and sign_test(record.worse, discordant) <= LEVEL:
        return "lost"
    if gained >= -margin and sign_test(record.cheaper, record.cheaper + record.dearer) <= LEVEL:
        return "won"
    if _never_better(record, epsilon) and sign_test(record.dearer, record.cheaper + record.dearer) <= LEVEL:
        return "lost"
    return "won" if default is not None and _cheaper_alone(record, default, epsilon) else "undecided"


def _cheaper_alone(record: Record, default: Record, epsilon: float) -> bool:
    if not record.score or min(record.trials, default.trials) < ENOUGH:
        return False
    return record.mean_tokens < default.mean_tokens and record.low >= (1 - epsilon) * default.accuracy


def _never_better(record: Record, epsilon: float) -> bool:
    return wilson(record.better, record.pairs)[1] <= epsilon


def _settled(name: str, cells: Sequence[Mapping[str, Record]], default: str, epsilon: float) -> Record:
    """The record of a policy in the first of `cells`, with the state that it has earned there; the others lend."""
    own = cells[0][name]
    if name == default:
        return replace(own, state="active")
    found = verdict(own, cells[0].get(default), epsilon)
    if found == "lost":
        return replace(own, state="retired")
    if found == "undecided" and own.pairs >= LEAST and own.better >= own.worse:
        found = verdict(_together(name, cells), _together(default, cells), epsilon)
    return replace(own, state="active") if found == "won" and own.state == "quarantined" else own


def _together(name: str, cells: Sequence[Mapping[str, Record]]) -> Record:
    some = [cell[name] for cell in cells if name in cell]
    return reduce(Record.plus, some, Record({}))


def _bounded(records: Mapping[str, Record], default: str) -> dict[str, Record]:
    """The records that are kept: the default, then those that may be right most often, of equals the cheaper."""

    def rank(name: str) -> tuple[bool, bool, float, float]:
        record = records[name]
        return name != default, record.state == "retired", -record.high, record.mean_tokens

    names = sorted(records, key=rank)
    kept = frozenset(names[:RECORDS])
    return {name: record for name, record in records.items() if name in kept}


def note(cell: Cell, record: Record, default: Record | None) -> str:
    """One line on what a comparison has shown, made of counts alone."""
    verb = "earned its place" if record.state == "active" else "was retired"
    against = f"; {default.name} {default.score:g} of {default.trials} for {default.mean_tokens:.0f}" if default else ""
    return (
        f"{cell.signature.task}, size {cell.signature.size} ({cell.key}): {record.name} {verb}, right on "
        f"{record.score:g} of {record.trials} for {record.mean_tokens:.0f} tokens each{against}"
    )
