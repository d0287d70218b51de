"""What the pocket model is trained on: endless seeded conversations, torch-free.

A conversation is segments, each marked as learned or given. What a strategy would inject (a closing
sentence, a probe, a `Wait`) is given, so the model learns to answer it and not to write it.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from .tasks import DIFFICULTIES, RULES, Problem, make, reach, split_of
from .thoughts import BRIEF, STEADY, Block, Line, derive, judge, search, think

DIRECT = "direct"
"""The system message that asks for an answer without thinking."""

TRANSITIONS = (
    "Time is up, so I answer now.",
    "I have thought enough, so I answer now.",
    "I must answer now.",
    "Okay, time to answer.",
    "Considering the limited time by the user, I have to give the solution based on the thinking directly now.",
)
"""Closing sentences the model knows; it answers after others too, a little less surely."""

PROBE = "\nanswer "
"""Written after any part of a thought, this makes the model say its best answer so far."""

WAITS = ("Wait", "Wait,", "Wait, ", "Wait\n", "Wait, let me check again.\n", "Wait, again\n")
SEPARATORS = ("\n\n", "\n\n", "\n", "", " ")

_CHATTER = (
    "You are a helpful assistant.",
    "Think step by step.",
    "Use these rules if they fit:",
    "Behaviors that helped before:",
    "Answer with the last digit only.",
    "Be careful and check your work.",
)

_KINDS = {"chain": 52, "verify": 10, "reach": 40, "repeat": 14, "zero": 6}


@dataclass(frozen=True, slots=True)
class Segment:
    """A piece of a conversation; only a learned one counts in training."""

    text: str
    learned: bool = False


Conversation = list[Segment]


def conversations(seed: int) -> Iterator[Conversation]:
    """Endless training conversations, none about a problem of another split than `train`."""
    rng = random.Random(seed)  # noqa: S311
    while True:
        yield conversation(rng)


def conversation(rng: random.Random) -> Conversation:
    """One training conversation of a kind drawn at random."""
    problem = _problem(rng, rng.choices(list(_KINDS), list(_KINDS.values()))[0])
    shape = rng.choices(list(_SHAPES), list(_SHAPES.values()))[0]
    return shape(rng, problem)


def _problem(rng: random.Random, kind: str) -> Problem:
    """A problem of the training split; half of the chains take all difficulties equally often."""
    while True:
        difficulty = None
        if kind == "chain" and rng.random() < 0.5:
            difficulty = rng.choice(list(DIFFICULTIES[kind]))
        problem = make(kind, rng, difficulty=difficulty, agree=rng.random() < 0.5)
        if split_of(problem.question) == "train":
            return problem


def _opening(rng: random.Random, problem: Problem) -> tuple[str, tuple[str, ...]]:
    """System and user turn, and the rules that the system message holds."""
    rules = tuple(rule for kind, rule in RULES.items() if rng.random() < _rule_chance(problem, kind))
    if rng.random() < 0.07:
        rules = (*rules, BRIEF)
    lines = [f"{rng.choice(('', '', '- '))}{rule}" for rule in rules]
    if rng.random() < 0.15:
        lines.insert(0, _chatter(rng))
    rng.shuffle(lines)
    system = f"<|system|>{chr(10).join(lines)}<|end|>" if lines else ""
    question = problem.question
    if rng.random() < 0.04:
        question = f"{_chatter(rng)}\n{question}"
    return f"{system}<|user|>{question}<|end|><|assistant|>", rules


def _rule_chance(problem: Problem, kind: str) -> float:
    return 0.5 if problem.kind == kind else 0.05


def _chatter(rng: random.Random) -> str:
    """A line that says nothing about the problem."""
    if rng.random() < 0.5:
        return rng.choice(_CHATTER)
    letters = "abcdefghijklmnopqrstuvwxyz"
    words = ("".join(rng.choices(letters, k=rng.randint(2, 8))) for _ in range(rng.randint(2, 12)))
    return " ".join(words).capitalize() + rng.choice((".", ":", ""))


def flat(blocks: list[Block]) -> list[Line]:
    """The lines of a thought with what separates them in front."""
    lines = [
        Line(("\n" if place else "\n\n") + line.text, line.best) for block in blocks for place, line in enumerate(block)
    ]
    return [Line(lines[0].text[2:], lines[0].best), *lines[1:]]


def written(lines: list[Line]) -> str:
    """The text of separated lines."""
    return "".join(line.text for line in lines)


def _full(rng: random.Random, problem: Problem) -> Conversation:
    """Thinks as long as it likes, then answers."""
    opening, rules = _opening(rng, problem)
    lines = flat(think(rng, problem, rules=rules))
    whole = f"<think>{written(lines)}</think>{lines[-1].best}<|end|>"
    return [Segment(opening), Segment(whole, learned=True)]


def _direct(rng: random.Random, problem: Problem) -> Conversation:
    """Answers without thinking, because it is told to."""
    opening = f"<|system|>{DIRECT}<|end|><|user|>{problem.question}<|end|><|assistant|>"
    answer = f"{problem.answer}<|end|>"
    if rng.random() < 0.3:
        opening = _opening(rng, problem)[0]
        return [Segment(f"{opening}<think></think>"), Segment(answer, learned=True)]
    return [Segment(opening), Segment(f"<think></think>{answer}", learned=True)]


def _cut(rng: random.Random, problem: Problem) -> Conversation:
    """Is cut short anywhere, by a closing tag, a closing sentence or a probe, and answers."""
    opening, rules = _opening(rng, problem)
    lines = flat(think(rng, problem, rules=rules))
    place = rng.randrange(len(lines))
    kept = rng.choice((len(lines[place].text), rng.randrange(len(lines[place].text))))
    best = lines[place - 1].best if place else problem.answer
    if kept == len(lines[place].text):
        best = lines[place].best
    before = written(lines[:place]) + lines[place].text[:kept]
    return [Segment(opening), Segment(f"<think>{before}", learned=True), *_closing(rng, best)]


def _closing(rng: random.Random, best: str) -> Conversation:
    """What a strategy injects to get an answer at once, and the answer."""
    if rng.random() < 0.3:
        return [Segment(PROBE), Segment(best, learned=True)]
    sentence = rng.choice((*TRANSITIONS, _chatter(rng)))
    closing = rng.choice(("", "", "\n", f"\n{sentence}\n", f"\n\n{sentence}\n", f" {sentence}"))
    return [Segment(f"{closing}</think>"), Segment(f"{best}<|end|>", learned=True)]


def _deepened(rng: random.Random, problem: Problem) -> Conversation:
    """Is made to doubt where it would have closed, one to four times, and derives anew."""
    opening, rules = _opening(rng, problem)
    lines = flat(think(rng, problem, rules=rules))
    segments = [Segment(opening), Segment(f"<think>{written(lines)}", learned=True)]
    for _ in range(rng.choice((1, 1, 1, 2, 4))):
        phrase = rng.choice(WAITS)
        segments.append(Segment(rng.choice(SEPARATORS) + phrase))
        lines = flat([_anew(rng, problem)])
        begin = "" if phrase.endswith("\n") else "\n"
        segments.append(Segment(begin + written(lines), learned=True))
    return [*segments, Segment(f"</think>{lines[-1].best}<|end|>", learned=True)]


def _anew(rng: random.Random, problem: Problem) -> Block:
    """The block that follows an injected doubt."""
    if problem.kind == "verify":
        return judge(rng, problem, rounds=0)[0]
    if problem.kind == "reach":
        task = reach(problem.question)
        right = problem.answer[:2]
        return search(rng, task, avoid=next(move for move in task.moves if move != right))[0]
    return derive(rng, problem.question, STEADY).block


def _history(rng: random.Random, problem: Problem) -> Conversation:
    """Comes late in a long conversation, or is asked once more about the same problem."""
    turns: list[str] = []
    for _ in range(rng.randint(1, 9)):
        past = _problem(rng, rng.choice(("chain", "chain", "repeat", "reach")))
        turns.append(f"<|user|>{past.question}<|end|><|assistant|>{past.answer}<|end|>")
    if rng.random() < 0.3:
        turns = turns[:1] if rng.random() < 0.3 else []
        turns.append(f"<|user|>{problem.question}<|end|><|assistant|>{_said(rng, problem)}<|end|>")
        problem_turn = f"<|user|>{rng.choice(AGAIN)}<|end|><|assistant|>"
    else:
        problem_turn = f"<|user|>{problem.question}<|end|><|assistant|>"
    lines = flat(think(rng, problem))
    whole = f"<think>{written(lines)}</think>{lines[-1].best}<|end|>"
    return [Segment("".join(turns) + problem_turn), Segment(whole, learned=True)]


AGAIN = ("check again", "Are you sure?", "Wait", "Wait, check your answer.", "Think again.")
"""User turns that send the model back to the problem before them."""


def _said(rng: random.Random, problem: Problem) -> str:
    """An earlier answer that may be wrong."""
    if problem.kind in ("reach", "verify") or rng.random() < 0.5:
        return problem.answer
    return str(rng.randrange(10))


def _rule(_rng: random.Random, problem: Problem) -> Conversation:
    """Names the rule that fits a question, or none."""
    opening = f"<|user|>{problem.question} rule?<|end|><|assistant|>"
    rule = RULES.get(problem.kind, "none")
    return [Segment(opening), Segment(f"<think></think>{rule}<|end|>", learned=True)]


_SHAPES: dict[Callable[[random.Random, Problem], Conversation], int] = {
    _full: 60,
    _cut: 15,
    _deepened: 10,
    _direct: 9,
    _history: 4,
    _rule: 2,
}
