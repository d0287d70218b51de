"""The problems the pocket model is trained and tested on, and who is right.

Every problem belongs to exactly one of three splits. The canonical question (variables renamed in
order of appearance, a verification reduced to what it verifies) is hashed with blake2b; the hash
modulo ten gives `test` at 0, `dev` at 1 and `train` otherwise. So no split holds a question of
another under other names, and nothing depends on a stored list.
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from hashlib import blake2b
from itertools import product
from typing import Literal

Split = Literal["train", "dev", "test"]

LETTERS = "abcdefghijklmnpqrstuvwyz"
TIMES = (3, 7, 9)
"""What products multiply by: these lose no digit, so a slip early on still shows at the end."""

PRODUCTS = {5: 2, 6: 3, 7: 3, 8: 4}
"""How many steps of a chain are products, by difficulty; short chains have none."""


RULES = {
    "repeat": "rule: x+x+..=x*n",
    "zero": "rule: x*0=0, skip to it",
}
"""One line for the system message that shortens the traces of the kind it is named after."""

DIFFICULTIES: dict[str, dict[int, int]] = {
    "chain": {2: 22, 3: 22, 4: 20, 5: 14, 6: 13, 7: 5, 8: 4},
    "verify": {2: 1, 3: 1, 4: 1, 5: 1, 6: 1},
    "repeat": {4: 1, 5: 1, 6: 1, 7: 1, 8: 1},
    "zero": {4: 1, 5: 1, 6: 1, 7: 1},
    "reach": {2: 2, 3: 1},
}
"""The default mix of each kind: difficulty to weight."""

PATIENCE = 5000
"""After so many tries without a new problem a split counts as exhausted."""

RIGHT_FIRST = 0.35
"""How often the operation that a `reach` problem names first is the one to begin with."""


@dataclass(frozen=True, slots=True)
class Problem:
    """One question with its answer; `system` is the system message it is asked under, if any."""

    kind: str
    question: str
    answer: str
    difficulty: int
    system: str | None = None

    @property
    def messages(self) -> list[dict[str, str]]:
        """The problem as chat messages."""
        system = [] if self.system is None else [{"role": "system", "content": self.system}]
        return [*system, {"role": "user", "content": self.question}]


@dataclass(frozen=True, slots=True)
class Step:
    """One assignment of a question: a name and its terms with the operations between them."""

    name: str
    terms: tuple[str, ...]
    operations: tuple[str, ...]

    def value(self, values: dict[str, int]) -> int:
        """The last digit of the step, given what its names stand for."""
        total = read(self.terms[0], values)
        for operation, term in zip(self.operations, self.terms[1:], strict=True):
            total = apply(operation, total, read(term, values))
        return total


def read(term: str, values: dict[str, int]) -> int:
    """What a digit or a name stands for."""
    return int(term) if term.isdigit() else values[term]


def apply(operation: str, left: int, right: int) -> int:
    """`left operation right` modulo ten."""
    if operation == "+":
        return (left + right) % 10
    return (left - right) % 10 if operation == "-" else left * right % 10


def steps(question: str) -> list[Step]:
    """The assignments of a question, in its order."""
    found = re.findall(r"([a-z])=(\S+)", question)
    return [Step(name, tuple(re.findall(r"\w", body)), tuple(re.findall(r"[-+*]", body))) for name, body in found]


def solve(question: str) -> int:
    """What the last name of a question comes to."""
    values: dict[str, int] = {}
    result = 0
    for step in steps(question):
        result = values[step.name] = step.value(values)
    return result


def canonical(question: str) -> str:
    """The question under standard names, without the answer a verification proposes."""
    names: dict[str, str] = {}

    def rename(found: re.Match[str]) -> str:
        return names.setdefault(found.group(), LETTERS[len(names)])

    return re.sub(r"\b[a-z]\b", rename, re.sub(r" \d right\?$", "", question))


def split_of(question: str) -> Split:
    """The split a question belongs to, the same on every machine."""
    remainder = int.from_bytes(blake2b(canonical(question).encode(), digest_size=8).digest()) % 10
    return "test" if remainder == 0 else "dev" if remainder == 1 else "train"


def problems(
    split: Split,
    count: int,
    *,
    seed: int = 0,
    kind: str = "chain",
    difficulty: int | None = None,
) -> list[Problem]:
    """`count` different problems of one kind, always the same for the same arguments.

    Kinds are `chain`, `repeat`, `zero`, `reach` and `verify` (every second answer is `no`).
    Raises ValueError for an unknown kind, or when the split does not hold `count` of them.
    """
    if kind not in DIFFICULTIES:
        raise ValueError(f"unknown kind {kind!r}; there are {sorted(DIFFICULTIES)}")
    rng = random.Random(f"{split} {kind} {difficulty} {seed}")  # noqa: S311
    found: dict[str, Problem] = {}
    fruitless = 0
    while len(found) < count:
        problem = make(kind, rng, difficulty=difficulty, agree=len(found) % 2 == 0)
        fruitless += 1
        if problem.question not in found and split_of(problem.question) == split:
            found[problem.question] = problem
            fruitless = 0
        if fruitless > PATIENCE:
            raise ValueError(f"found only {len(found)} of {count} {kind!r} problems in {split!r}")
    return list(found.values())


def make(kind: str, rng: random.Random, *, difficulty: int | None = None, agree: bool = True) -> Problem:
    """One problem from any split; `agree` says whether a `verify` problem's answer is yes."""
    if difficulty is None:
        mix = DIFFICULTIES[kind]
        difficulty = rng.choices(list(mix), list(mix.values()))[0]
    if kind == "reach":
        return _reach(rng, difficulty)
    if kind == "verify":
        return _verify(rng, difficulty, agree=agree)
    question = _QUESTIONS[kind](rng, difficulty)
    return Problem(kind, question, str(solve(question)), difficulty)


def _names(rng: random.Random, count: int) -> Iterator[str]:
    return iter(rng.sample(LETTERS, count))


def _link(rng: random.Random, known: list[str], name: str, operation: str) -> str:
    """One more step from the latest name; `known` grows by `name`."""
    right = rng.choice(TIMES) if operation == "*" else rng.randrange(1, 10)
    text = f"{name}={known[-1]}{operation}{right}"
    known.append(name)
    return text


def _chain(rng: random.Random, difficulty: int) -> str:
    """Up to four steps of plus and minus; longer chains have products and seldom a minus."""
    names = _names(rng, difficulty + 1)
    known = [next(names)]
    products = set(rng.sample(range(difficulty), PRODUCTS.get(difficulty, 0)))
    plain = "++++-" if products else "+-"
    parts = [f"{known[0]}={rng.randrange(10)}"]
    for place, name in enumerate(names):
        operation = "*" if place in products else rng.choice(plain)
        parts.append(_link(rng, known, name, operation))
    return " ".join([*parts, f"{known[-1]}?"])


def _repeat(rng: random.Random, difficulty: int) -> str:
    """A sum of `difficulty + 1` equal terms, then one or two plain steps."""
    names = _names(rng, 4)
    first, total = next(names), next(names)
    known = [total]
    parts = [f"{first}={rng.randrange(2, 10)}", f"{total}={'+'.join([first] * (difficulty + 1))}"]
    parts += [_link(rng, known, next(names), rng.choice("+-")) for _ in range(rng.randint(1, 2))]
    return " ".join([*parts, f"{known[-1]}?"])


def _zero(rng: random.Random, difficulty: int) -> str:
    """A chain whose last step but one or two multiplies by nothing."""
    names = _names(rng, difficulty + 1)
    known = [next(names)]
    parts = [f"{known[0]}={rng.randrange(10)}"]
    nothing = difficulty - rng.randint(2, 3)
    for place, name in enumerate(names):
        if place == nothing:
            parts.append(f"{name}={known[-1]}*0")
            known = [name]
        else:
            parts.append(_link(rng, known, name, rng.choice("+-")))
    return " ".join([*parts, f"{known[-1]}?"])


_QUESTIONS: dict[str, Callable[[random.Random, int], str]] = {
    "chain": _chain,
    "repeat": _repeat,
    "zero": _zero,
}


def _verify(rng: random.Random, difficulty: int, *, agree: bool) -> Problem:
    question = _chain(rng, difficulty)
    truth = solve(question)
    shown = truth if agree else (truth + rng.randrange(1, 10)) % 10
    return Problem("verify", f"{question} {shown} right?", "yes" if agree else "no", difficulty)


@dataclass(frozen=True, slots=True)
class Reach:
    """A `reach` question read back: get from `start` to `target` in `count` moves."""

    start: int
    target: int
    moves: tuple[str, str]
    count: int

    def end(self, path: tuple[str, ...]) -> int:
        """Where a path of moves ends."""
        value = self.start
        for move in path:
            value = apply(move[0], value, int(move[1]))
        return value

    def solutions(self) -> list[tuple[str, ...]]:
        """Every path of `count` moves that ends at the target."""
        return [path for path in product(self.moves, repeat=self.count) if self.end(path) == self.target]


def reach(question: str) -> Reach:
    """Reads `3 to 8 by +4 *2 in 2?`."""
    start, _, target, _, first, second, _, count = question.rstrip("?").split()
    return Reach(int(start), int(target), (first, second), int(count))


def _reach(rng: random.Random, difficulty: int) -> Problem:
    """A reach problem whose every solution begins with the same move."""
    while True:
        plain = f"{rng.choice('+-')}{rng.randrange(1, 10)}"
        times = f"*{rng.choice((2, 3, 4, 6, 7, 8, 9))}"
        task = Reach(rng.randrange(10), rng.randrange(10), (plain, times), difficulty)
        solutions = task.solutions()
        if len({path[0] for path in solutions}) == 1 and task.start != task.target:
            break
    right = solutions[0][0]
    wrong = times if right == plain else plain
    first, second = (right, wrong) if rng.random() < RIGHT_FIRST else (wrong, right)
    question = f"{task.start} to {task.target} by {first} {second} in {difficulty}?"
    return Problem("reach", question, "".join(solutions[0]), difficulty)


def is_right(problem: Problem, text: str) -> bool:
    """Whether `text`, an answer or a whole completion with its thinking, solves the problem.

    Thinking that was never closed holds no answer. For `reach` any path that arrives is right.
    """
    _, closed, answer = text.rpartition("</think>")
    if not closed and "<think>" in text:
        return False
    answer = answer.replace("<|end|>", "")
    if problem.kind == "reach":
        return _arrives(reach(problem.question), answer)
    pattern = r"\b(?:yes|no)\b" if problem.kind == "verify" else r"-?\d+"
    found = re.findall(pattern, answer.lower())
    return bool(found) and found[-1] == problem.answer


def _arrives(task: Reach, answer: str) -> bool:
    paths = re.findall(r"(?:[-+*]\d)+", answer.replace(" ", ""))
    return bool(paths) and tuple(re.findall(r"[-+*]\d", paths[-1])) in task.solutions()
