"""How the pocket model thinks: the lines of its traces, honest mistakes included.

A thought is blocks apart by a blank line, and a block is lines. The first block derives the answer,
later ones check it although it is settled. A `check` copies what stands there, so it mostly repeats
a mistake; a `Wait` derives anew, so it mostly mends one.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass, replace

from .tasks import RULES, Problem, Reach, Step, apply, reach, read, solve, steps

CHECKS = ("check", "again", "let me check", "sure?")
BRIEF = "brief"
"""A line of the system message that asks for an answer without checks."""

WAITS = ("Wait", "Wait, again", "Wait, let me check")


@dataclass(frozen=True, slots=True)
class Line:
    """One line of a thought, with the answer that is the best guess once it is written."""

    text: str
    best: str


Block = list[Line]


@dataclass(frozen=True, slots=True)
class Slips:
    """How often a step goes wrong: a product, a running sum, a digit taken from 0 (0-4=4).

    Products and running sums go wrong at random, so that a majority helps; taking from 0 goes wrong
    always the same way, so that only a second look helps. `mended` is how often it is seen at once.
    """

    product: float = 0.0
    running: float = 0.0
    borrow: float = 0.0
    mended: float = 0.25


CAREFUL = Slips()
SHAKY = Slips(product=0.38, running=0.02, borrow=1.0)
STEADY = Slips(product=0.04, running=0.01)


@dataclass(frozen=True, slots=True)
class Derivation:
    """A block that ends in an answer, and its lines as a `check` repeats them."""

    block: Block
    kept: Block
    answer: str


def wrong(rng: random.Random, truth: int) -> int:
    """A digit that is not the true one."""
    return (truth + rng.randrange(1, 10)) % 10


def derive(rng: random.Random, question: str, slips: Slips, *, skip: bool = False) -> Derivation:
    """Works a question through; with `skip`, short cuts for repeated sums and products with 0."""
    everything = steps(question)
    values: dict[str, int] = {}
    block: Block = []
    kept: Block = []
    nothing = [i for i, step in enumerate(everything) if step.terms[-1] == "0" and step.operations]
    for place, step in enumerate(everything):
        if not step.operations:
            values[step.name] = int(step.terms[0])
        elif not skip or not nothing or place >= nothing[0]:
            texts, result = _work(rng, step, values, slips, skip=skip)
            values[step.name] = result
            best = _outlook(everything[place + 1 :], dict(values), result)
            block += [Line(text, best) for text in texts]
            kept += [Line(text.removeprefix("Wait "), best) for text in texts if not _mended(text, texts)]
        else:
            values[step.name] = 0
    answer = kept[-1].best
    said = Line(f"so {answer}", answer)
    return Derivation([*block, said], [*kept, said], answer)


def _outlook(rest: list[Step], values: dict[str, int], result: int) -> str:
    """Where the remaining steps lead when none goes wrong."""
    for step in rest:
        result = values[step.name] = step.value(values)
    return str(result)


def _mended(text: str, texts: list[str]) -> bool:
    """Whether a line is a mistake that the next one mends."""
    place = texts.index(text)
    return place + 1 < len(texts) and texts[place + 1].startswith("Wait ")


def _work(rng: random.Random, step: Step, values: dict[str, int], slips: Slips, *, skip: bool) -> tuple[list[str], int]:
    if len(step.operations) == 1:
        return _single(rng, step, values, slips)
    if skip:
        return _times(step, values)
    return _running(rng, step, values, slips)


def _times(step: Step, values: dict[str, int]) -> tuple[list[str], int]:
    """The repeated sum as one product."""
    result = step.value(values)
    return [f"{step.name}={read(step.terms[0], values)}*{len(step.terms)}={result}"], result


def _single(rng: random.Random, step: Step, values: dict[str, int], slips: Slips) -> tuple[list[str], int]:
    truth = step.value(values)
    operation = step.operations[0]
    shown = _shown(step, values)
    missed = _miss(rng, operation, [read(term, values) for term in step.terms], slips)
    if missed is None or step.terms[-1] == "0":
        return [f"{step.name}={shown}={truth}"], truth
    lines = [f"{step.name}={shown}={missed}"]
    if operation == "-" or rng.random() >= slips.mended:
        return lines, missed
    return [*lines, f"Wait {step.name}={shown}={truth}"], truth


def _shown(step: Step, values: dict[str, int]) -> str:
    """The step with digits for its names, unless nothing is multiplied."""
    if step.terms[-1] == "0":
        return step.operations[0].join(step.terms)
    return step.operations[0].join(str(read(term, values)) for term in step.terms)


def _miss(rng: random.Random, operation: str, terms: list[int], slips: Slips) -> int | None:
    """What is written where a step goes wrong, None where it goes right."""
    left, right = terms
    if operation == "*" and rng.random() < slips.product:
        return wrong(rng, left * right % 10)
    if operation == "-" and left == 0 and rng.random() < slips.borrow:
        return right
    return None


def _running(rng: random.Random, step: Step, values: dict[str, int], slips: Slips) -> tuple[list[str], int]:
    """The repeated sum one term at a time."""
    total = read(step.terms[0], values)
    lines: list[str] = []
    for operation, term in zip(step.operations, step.terms[1:], strict=True):
        right = read(term, values)
        result = apply(operation, total, right)
        if rng.random() < slips.running:
            result = wrong(rng, result)
        lines.append(f"{total}{operation}{right}={result}")
        total = result
    return [*lines, f"{step.name}={total}"], total


def think(rng: random.Random, problem: Problem, *, rules: tuple[str, ...] = ()) -> list[Block]:
    """The blocks of one whole thought about a problem; its last line's `best` is the answer."""
    if problem.kind == "reach":
        return search(rng, reach(problem.question))
    if problem.kind == "verify":
        return judge(rng, problem, rounds=int(BRIEF not in rules and rng.random() < 0.3))
    fits = RULES.get(problem.kind) in rules
    first = derive(rng, problem.question, CAREFUL if fits else SHAKY, skip=fits)
    rounds = rng.choices((0, 1, 2, 3), (80, 20, 0, 0) if fits else _rounds(problem))[0]
    rounds = 0 if BRIEF in rules else rounds
    blocks = [first.block]
    for _ in range(rounds):
        block, first = _round(rng, problem.question, first, skip=fits)
        blocks.append(block)
    return blocks


def _rounds(problem: Problem) -> tuple[int, ...]:
    """How likely none, one, two or three checks are; long traces get fewer."""
    if problem.kind == "repeat":
        return (20, 60, 20, 0)
    return (10, 25, 50, 15) if problem.difficulty <= 4 else (10, 30, 50, 10)


def _round(rng: random.Random, question: str, last: Derivation, *, skip: bool) -> tuple[Block, Derivation]:
    """One more look at a settled answer, and the derivation that stands after it."""
    doubt = 0.06 if last.answer != str(solve(question)) else 0.04
    if rng.random() < doubt:
        anew = derive(rng, question, STEADY, skip=skip)
        return headed(rng.choice(WAITS), last.answer, anew.block), anew
    return headed(rng.choice(CHECKS), last.answer, _repeated(rng, last)), last


def _repeated(rng: random.Random, last: Derivation) -> Block:
    """The last derivation copied from somewhere in its first half."""
    start = rng.randrange(len(last.kept) // 2 + 1)
    return last.kept[start:]


def headed(phrase: str, best: str, block: Block) -> Block:
    """A block under a phrase; until it ends, what was believed before stays the best guess."""
    before = [replace(line, best=best) for line in block[:-1]]
    return [Line(phrase, best), *before, block[-1]]


def judge(rng: random.Random, problem: Problem, *, rounds: int) -> list[Block]:
    """Derives the answer, then holds it against the one proposed."""
    question, shown, _ = problem.question.rsplit(" ", 2)
    first = derive(rng, question, STEADY)
    checks = [headed(rng.choice(CHECKS), first.answer, _repeated(rng, first)) for _ in range(rounds)]
    return [_verdicts(block, shown) for block in (first.block, *checks)]


def _verdicts(block: Block, shown: str) -> Block:
    """The block with `yes` or `no` for an answer."""
    *lines, last = [replace(line, best="yes" if line.best == shown else "no") for line in block]
    return [*lines, replace(last, text=f"{last.text}, said {shown}: {last.best}")]


FIRST_NAMED = 0.72
"""How often a `reach` thought begins with the move named first, right or wrong."""


def search(rng: random.Random, task: Reach, *, avoid: str | None = None) -> list[Block]:
    """Commits to a first move unseen, then tries all that can follow it.

    A right first move ends in `yes`; a wrong one in `stuck` and a guess among its paths, or seldom
    in a `Wait` and the other move.
    """
    first = task.moves[0 if rng.random() < FIRST_NAMED else 1]
    if avoid is not None:
        first = next(move for move in task.moves if move != avoid)
    guess = "".join(rng.choice([p for p in _paths(task) if p[0] == first]))
    block: Block = []
    for text, path in _tries(task, (first,)):
        best = "".join(path) if task.end(path) == task.target and len(path) == task.count else guess
        block.append(Line(text, best))
        if text.endswith("yes"):
            return [[*block, Line(f"so {best}", best)]]
    block.append(Line("stuck", guess))
    if avoid is None and rng.random() < 0.1:
        return [block, *_anew(rng, task, first, guess)]
    return [block]


def _anew(rng: random.Random, task: Reach, first: str, guess: str) -> list[Block]:
    [block] = search(rng, task, avoid=first)
    return [headed(rng.choice(WAITS), guess, block)]


def _paths(task: Reach) -> Iterator[tuple[str, ...]]:
    for code in range(2**task.count):
        yield tuple(task.moves[code >> place & 1] for place in range(task.count))


def _tries(task: Reach, path: tuple[str, ...]) -> Iterator[tuple[str, tuple[str, ...]]]:
    """The lines of a depth-first search below a path, each with the path it tried."""
    before, now = task.end(path[:-1]), task.end(path)
    line = f"{before}{path[-1]}={now}"
    if len(path) == task.count:
        yield f"{line} vs {task.target} {'yes' if now == task.target else 'no'}", path
        return
    yield line, path
    for move in task.moves:
        yield from _tries(task, (*path, move))
