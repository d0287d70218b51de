"""Which sequences are evaluated next: continuous batching over one KV cache with shared prefixes."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from collections.abc import Sequence as Rows
from dataclasses import dataclass
from typing import Any, Protocol

from forethought.errors import InvalidRequest
from forethought.thinking import Tags
from forethought.wire import FinishReason

from .cells import Cells
from .gate import Automaton, Gate
from .guard import CUT
from .job import Job
from .pieces import Pieces, Speller
from .sequence import Outcome, Sequence, common
from .state import Occupancy, Piece

HEADROOM = 32
"""Cells that must be free for each admitted sequence to write into; beyond that the youngest has to give way."""


class Native(Speller, Protocol):
    """What the scheduler needs of a model; `native.Model` is the real one."""

    @property
    def shares(self) -> bool: ...
    @property
    def vocabulary(self) -> int: ...
    def tokenize(self, text: str, *, begin: bool = True) -> list[int]: ...
    def is_end(self, token: int) -> bool: ...
    def automaton(self, grammar: str) -> Automaton | None: ...
    def decode(self, tokens: Rows[int], positions: Rows[int], slots: Rows[int], wanted: Rows[bool]) -> Any: ...
    def copy(self, source: int, target: int, length: int) -> None: ...
    def remove(self, slot: int) -> None: ...


@dataclass(frozen=True, slots=True)
class Limits:
    """cells: of the cache; longest: tokens of one sequence; live: sequences at once; batch: tokens of a step;
    parked: cells kept for finished sequences."""

    cells: int
    longest: int
    live: int
    batch: int
    parked: int

    @property
    def slots(self) -> int:
        """Native sequence ids: as many parked sequences as live ones."""
        return 2 * self.live


class Scheduler:
    """Owned by one thread. `submit` and `cancel` between steps; `step` evaluates one batch.

    Sequences are admitted in the order they came, as soon as a slot and the cells of the prompt are there.
    A prefix that a live or parked sequence has, prompt or written, is never evaluated again: it is copied, and
    waited for where it is still being evaluated. Finished and cancelled sequences are parked until their cells
    are needed. Where live sequences outgrow the cache the youngest gives way, to be evaluated again later, so
    the oldest always goes on.
    """

    def __init__(self, native: Native, limits: Limits, tags: Tags) -> None:
        self._native = native
        self._limits = limits
        self._tags = tags
        self._shares = native.shares
        self._cells = Cells(limits.cells)
        self._slots = list(range(limits.slots - 1, -1, -1))
        self._sequences: dict[int, Sequence] = {}
        self._waiting: deque[Sequence] = deque()
        self._live: list[Sequence] = []
        self._parked: list[Sequence] = []
        self._evaluated = 0
        self._pieces = Pieces(native)

    @property
    def occupancy(self) -> Occupancy:
        used = self._cells.total - self._cells.free
        return Occupancy(len(self._live), len(self._waiting), len(self._parked), used, self._evaluated)

    @property
    def busy(self) -> bool:
        """Whether a step would do anything."""
        return bool(self._sequences)

    def submit(self, key: int, job: Job) -> None:
        """Queue a job; raises InvalidRequest where it can never fit, or speaks of tokens that are not there."""
        _check_biases(job, self._native.vocabulary)
        tokens, longest = self._native.tokenize(job.text), self._limits.longest
        room = longest - len(tokens)
        if room < 1 or not tokens:
            hint = f"a prompt of 1 to {longest - 1} tokens fits (n_ctx {longest}), this one has {len(tokens)}"
            raise InvalidRequest("messages", job.text.replace(CUT, ""), hint)
        # A ceiling beyond the context is no fault: a budget grants more than a small model can write.
        gate = Gate(job.grammar, self._native, self._tags, job.phase, job.said) if job.grammar else None
        sequence = Sequence(key, job, tokens, min(job.max_tokens or room, room), self._tags, gate)
        self._sequences[key] = sequence
        self._waiting.append(sequence)

    def cancel(self, key: int) -> None:
        """Drop a job wherever it stands; one that has ended, or was never there, is no error."""
        sequence = self._forget(key)
        if sequence in self._live:
            self._park(sequence)
        elif sequence is not None:
            self._waiting.remove(sequence)

    def forget_all(self) -> None:
        """Nothing more is wanted of any job: free what each holds beside its cells."""
        for key in list(self._sequences):
            self._forget(key)

    def _forget(self, key: int) -> Sequence | None:
        sequence = self._sequences.pop(key, None)
        if sequence is not None:
            sequence.close()
        return sequence

    def step(self) -> list[tuple[int, Outcome]]:
        """Evaluate one batch; returns what became readable, in order, by key."""
        self._admit()
        self._adopt()
        plan = self._plan()
        rows = self._evaluate(plan)
        self._adopt()  # before a source can end and be evicted
        ready = [sequence for sequence, _ in plan if not sequence.pending]
        drawn = zip(ready, rows, strict=True)
        return [(sequence.key, outcome) for sequence, row in drawn for outcome in self._advance(sequence, row)]

    def _admit(self) -> None:
        while self._waiting and len(self._live) < self._limits.live and self._fits(self._waiting[0]):
            sequence = self._waiting.popleft()
            if not self._slots:
                self._evict()
            sequence.slot = self._slots.pop()
            self._live.append(sequence)

    def _fits(self, newcomer: Sequence) -> bool:
        """Whether cells are, or can be made, free for `newcomer` beside what was promised to the others."""
        promised = sum(_promised(sequence) for sequence in self._live)
        while True:
            self._match(newcomer)
            if self._cells.free - promised >= _promised(newcomer):
                return True
            if not self._parked:
                return False
            self._evict()

    def _match(self, sequence: Sequence) -> None:
        """Find the longest prefix to copy, among parked sequences and those admitted earlier.

        The last token is always evaluated anew: its logits are what is wanted. A source is touched, so that it
        is the last to be evicted.
        """
        sequence.source, sequence.share = None, 0
        if not self._shares:
            return
        earlier = self._live[: self._live.index(sequence)] if sequence in self._live else self._live
        for other in (*self._parked, *earlier):
            share = min(common(sequence.tokens, other.tokens), len(sequence.tokens) - 1)
            if share > sequence.share:
                sequence.source, sequence.share = other, share
        if sequence.source in self._parked:
            self._parked.remove(sequence.source)
            self._parked.append(sequence.source)

    def _adopt(self) -> None:
        """Copy the prefixes whose source has evaluated them by now."""
        for sequence in self._live:
            source = sequence.source
            if source is not None and source.cached < sequence.share and source not in self._live:
                self._match(sequence)
                source = sequence.source
            if source is not None and source.cached >= sequence.share:
                self._native.copy(source.slot, sequence.slot, sequence.share)
                sequence.cells = source.cells[: sequence.share]
                self._cells.share(sequence.cells)
                sequence.source = None
            if sequence.source is None and sequence.reused is None:
                sequence.reused = sequence.share

    def _plan(self) -> list[tuple[Sequence, int]]:
        """Sequences with the number of tokens to evaluate now; cells are made free for them."""
        while True:
            plan = self._draft()
            if sum(count for _, count in plan) <= self._cells.free:
                return plan
            self._reclaim()

    def _draft(self) -> list[tuple[Sequence, int]]:
        """Every writing sequence's next token, then prompts in the order they came, as far as the batch goes."""
        ready = [sequence for sequence in self._live if sequence.source is None]
        plan = [(sequence, 1) for sequence in ready if sequence.pending == 1]
        room = self._limits.batch - len(plan)
        if plan:
            room = min(room, max(1, self._limits.batch // 4))
        for sequence in ready:
            if room > 0 and sequence.pending > 1:
                plan.append((sequence, min(room, sequence.pending)))
                room -= plan[-1][1]
        return plan

    def _reclaim(self) -> None:
        """Free some cells: those of a parked sequence, else those of the youngest live one but the last."""
        if self._parked:
            self._evict()
            return
        if len(self._live) < 2:
            raise RuntimeError(f"one sequence alone does not fit into {self._limits.cells} cells")
        youngest = self._live.pop()
        self._release(youngest)
        self._waiting.appendleft(youngest)

    def _evaluate(self, plan: list[tuple[Sequence, int]]) -> Any:
        if not plan:
            return ()
        tokens: list[int] = []
        positions: list[int] = []
        slots: list[int] = []
        wanted: list[bool] = []
        for sequence, count in plan:
            start, end = sequence.cached, sequence.cached + count
            tokens += sequence.tokens[start:end]
            positions += range(start, end)
            slots += [sequence.slot] * count
            wanted += [False] * (count - 1) + [end == len(sequence.tokens)]
        rows = self._native.decode(tokens, positions, slots, wanted)
        if rows is None:
            self._reclaim()
            return ()
        for sequence, count in plan:
            sequence.cells += self._cells.take(count)
        self._evaluated += len(tokens)
        return rows

    def _advance(self, sequence: Sequence, row: Any) -> Iterator[Outcome]:
        picked = sequence.sampler.pick(row)
        if picked is None or self._native.is_end(picked.token):
            yield from self._finish(sequence, "stop" if picked else "length")
            return
        sequence.tokens.append(picked.token)
        sequence.written += 1
        logprob = self._pieces.logprob(picked) if sequence.sampler.measures else None
        delta = sequence.writer.write(self._pieces.shown(picked.token, sequence.writer), logprob)
        yield Piece(delta, sequence.usage)
        if sequence.writer.stopped or not sequence.left:
            yield from self._finish(sequence, "stop" if sequence.writer.stopped else "length")

    def _finish(self, sequence: Sequence, reason: FinishReason) -> Iterator[Outcome]:
        rest = sequence.writer.finish()
        if rest is not None:
            yield Piece(rest, sequence.usage)
        self._forget(sequence.key)
        self._park(sequence)
        yield sequence.done(reason)

    def _park(self, sequence: Sequence) -> None:
        """Keep what is evaluated for whoever goes on from it, within the cells set aside for that."""
        self._live.remove(sequence)
        del sequence.tokens[sequence.cached :]
        sequence.source = None
        if not self._shares or not sequence.cached:
            self._release(sequence)
            return
        self._parked.append(sequence)
        while self._idle_cells() > self._limits.parked:
            self._evict()

    def _idle_cells(self) -> int:
        used = set[int]().union(*(sequence.cells for sequence in self._live))
        return self._cells.total - self._cells.free - len(used)

    def _evict(self) -> None:
        self._release(self._parked.pop(0))

    def _release(self, sequence: Sequence) -> None:
        self._native.remove(sequence.slot)
        self._cells.drop(sequence.cells)
        self._slots.append(sequence.slot)
        sequence.cells, sequence.slot, sequence.source, sequence.share = [], -1, None, 0


def _promised(sequence: Sequence) -> int:
    """Cells `sequence` will still take before it has to compete for more."""
    ready = max(sequence.cached, sequence.share)
    return max(0, len(sequence.tokens) - ready) + min(sequence.left, HEADROOM)


def _check_biases(job: Job, vocabulary: int) -> None:
    for token, _ in job.sampling.logit_bias:
        if token >= vocabulary:
            raise InvalidRequest("logit_bias", str(token), f"a token id below {vocabulary} is expected")
