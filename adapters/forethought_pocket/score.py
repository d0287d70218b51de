"""Measures a checkpoint on the test split: `python -m forethought_pocket.score pocket.pt`.

Prints the table of the model card. The same checkpoint, count and seed give the same numbers.
"""

# PyTorch is no dependency, so its names have no types here.
# pyright: basic, reportMissingImports=false
# mypy: disable-error-code="import-not-found,misc,untyped-decorator,no-any-return"

from __future__ import annotations

import argparse
import re
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from math import comb
from pathlib import Path

import torch

from .chat import prompt
from .export import load
from .model import Pocket
from .sample import Sampled, complete
from .tasks import RULES, Problem, is_right, problems, reach
from .traces import DIRECT, PROBE, TRANSITIONS

VOTES = 8
Row = tuple[str, float, str]


def ask(
    model: Pocket,
    asked: Sequence[Problem],
    *,
    system: str | None = None,
    begun: Sequence[str] | None = None,
    temperature: float = 0.0,
    seed: int = 0,
) -> list[Sampled]:
    """The model's completions, under a system message or after what it has begun to say."""
    above = [] if system is None else [{"role": "system", "content": system}]
    prompts = [prompt([*above, *problem.messages]) for problem in asked]
    if begun is not None:
        prompts = [before + after for before, after in zip(prompts, begun, strict=True)]
    return complete(model, prompts, temperature=temperature, seed=seed)


def accuracy(asked: Sequence[Problem], answers: Sequence[str]) -> float:
    """The share of right answers in percent."""
    right = sum(is_right(problem, text) for problem, text in zip(asked, answers, strict=True))
    return 100 * right / len(asked)


def texts(found: Sequence[Sampled]) -> list[str]:
    """The whole texts of completions."""
    return [sampled.text for sampled in found]


def tokens(found: Sequence[Sampled]) -> float:
    """The mean number of tokens written."""
    return sum(sampled.tokens for sampled in found) / len(found)


def settled(votes: Sequence[str]) -> bool:
    """The Beta rule of Adaptive-Consistency at 0.95 for the two leading answers."""
    counts = [count for _, count in Counter(votes).most_common(2)]
    first, second = (*counts, 0)[:2]
    trials = first + second + 1
    doubt = sum(comb(trials, wins) for wins in range(first + 1, trials + 1)) / 2**trials
    return doubt <= 0.05


def leader(votes: Sequence[str]) -> str:
    """The commonest answer, the earliest of equals."""
    return Counter(votes).most_common(1)[0][0]


def stopped(votes: Sequence[str]) -> Sequence[str]:
    """The votes that are cast before the rule says that they suffice."""
    return next((votes[:n] for n in range(1, len(votes)) if settled(votes[:n])), votes)


def stands(problem: Problem, sampled: Sampled) -> float | None:
    """The share of the written tokens after which the right answer first stands in the thought."""
    name = problem.question.removesuffix("?")[-1]
    line = rf"(?m)^(?:Wait )?(?:{name}=\S*=|so ){problem.answer}$"
    found = re.search(line, sampled.thought)
    return None if found is None else (found.end() + 1) / sampled.tokens


def first(asked: Sequence[Problem], found: Sequence[Sampled]) -> float:
    """The mean of `stands` in percent, over the thoughts in which the right answer stands."""
    shares = [share for share in map(stands, asked, found) if share is not None]
    return 100 * sum(shares) / len(shares)


def chain_rows(model: Pocket, count: int, seed: int) -> Iterator[Row]:
    """Thinking, voting and stopping early on chains of the default mix."""
    asked = problems("test", count, seed=seed)
    greedy = ask(model, asked)
    yield "chain: direct, greedy", accuracy(asked, texts(ask(model, asked, system=DIRECT))), ""
    yield "chain: thinking, greedy", accuracy(asked, texts(greedy)), f"{tokens(greedy):.0f} tokens"
    drawn = ask(model, asked * VOTES, temperature=1.0, seed=seed)
    yield "chain: thinking, one sample at T=1", accuracy(asked * VOTES, texts(drawn)), f"{tokens(drawn):.0f} tokens"
    yield "chain: right answer first stands, T=1", first(asked * VOTES, drawn), "of the tokens"
    votes = [[sampled.answer for sampled in drawn[place::count]] for place in range(count)]
    yield "chain: majority of 8 at T=1", accuracy(asked, [leader(cast) for cast in votes]), ""
    cast = [stopped(each) for each in votes]
    saved = 100 - 100 * sum(map(len, cast)) / VOTES / count
    yield (
        "chain: majority stopped at 0.95",
        accuracy(asked, list(map(leader, cast))),
        f"{saved:.1f}% of the samples saved",
    )
    yield from _trace_rows(model, asked, greedy)


def _trace_rows(model: Pocket, asked: list[Problem], greedy: list[Sampled]) -> Iterator[Row]:
    """Doubt, probes and budgets on the greedy traces."""
    doubted = [f"<think>{sampled.thought}\n\nWait" for sampled in greedy]
    yield "chain: one `Wait` injected at the end", accuracy(asked, texts(ask(model, asked, begun=doubted))), ""
    yield "chain: right answer first stands, greedy", first(asked, greedy), "of the tokens"
    for share in (25, 50, 75):
        cut = [f"<think>{s.thought[: len(s.thought) * share // 100]}" for s in greedy]
        closed = [f"{text}\n{TRANSITIONS[0]}\n</think>" for text in cut]
        answers = [s.text for s in ask(model, asked, begun=closed)]
        probed = [s.text[:1] for s in ask(model, asked, begun=[text + PROBE for text in cut])]
        note = f"probe {accuracy(asked, probed):.1f}"
        yield f"chain: cut at {share}% of the thought and closed", accuracy(asked, answers), note


def graded_rows(model: Pocket, count: int, seed: int) -> Iterator[Row]:
    """Greedy and one sample by difficulty."""
    for difficulty in range(2, 9):
        asked = problems("test", count // 4, seed=seed, difficulty=difficulty)
        drawn = ask(model, asked, temperature=1.0, seed=seed)
        direct = ask(model, asked, system=DIRECT)
        note = f"T=1 {accuracy(asked, texts(drawn)):.0f}, direct {accuracy(asked, texts(direct)):.0f}"
        yield f"chain of {difficulty}, greedy", accuracy(asked, texts(ask(model, asked))), note


def rule_rows(model: Pocket, count: int, seed: int) -> Iterator[Row]:
    """What a fitting rule saves, the tokens of the rule itself counted, and what others cost."""
    for kind, rule in RULES.items():
        asked = problems("test", count // 2, seed=seed, kind=kind)
        plain, ruled = ask(model, asked), ask(model, asked, system=rule)
        own = len(rule) + 2
        saved = 100 - 100 * (tokens(ruled) + own) / tokens(plain)
        yield f"{kind}: greedy", accuracy(asked, texts(plain)), f"{tokens(plain):.0f} tokens"
        note = f"{tokens(ruled):.0f}+{own} tokens, {saved:.0f}% saved"
        yield f"{kind}: greedy under its rule", accuracy(asked, texts(ruled)), note
    asked = problems("test", count // 2, seed=seed)
    everything = "\n".join(RULES.values())
    yield "chain: greedy under rules that do not fit", accuracy(asked, texts(ask(model, asked, system=everything))), ""


def verify_rows(model: Pocket, count: int, seed: int) -> Iterator[Row]:
    """Judging a proposed answer, half of them wrong."""
    asked = problems("test", count, seed=seed, kind="verify")
    yield "verify: greedy", accuracy(asked, texts(ask(model, asked))), ""
    yield "verify: one sample at T=1", accuracy(asked, texts(ask(model, asked, temperature=1.0, seed=seed))), ""


def reach_rows(model: Pocket, count: int, seed: int) -> Iterator[Row]:
    """Committing to the likeliest first move against looking where each leads."""
    asked = problems("test", count // 2, seed=seed, kind="reach")
    yield "reach: greedy", accuracy(asked, texts(ask(model, asked))), ""
    yield "reach: one sample at T=1", accuracy(asked, texts(ask(model, asked, temperature=1.0, seed=seed))), ""
    branches = [_branch(model, asked, place) for place in range(2)]
    best = [max(pair, key=_confidence).text for pair in zip(*branches, strict=True)]
    yield "reach: the surer of both first moves", accuracy(asked, best), ""


def _branch(model: Pocket, asked: list[Problem], move: int) -> list[Sampled]:
    tasks = [reach(problem.question) for problem in asked]
    begun = [f"<think>{task.start}{task.moves[move]}" for task in tasks]
    return ask(model, asked, begun=begun)


def _confidence(sampled: Sampled) -> float:
    return sum(sampled.logprobs) / len(sampled.logprobs)


def rows(model: Pocket, count: int, seed: int) -> Iterator[Row]:
    """The whole table."""
    for part in (chain_rows, graded_rows, rule_rows, verify_rows, reach_rows):
        yield from part(model, count, seed)


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("--count", type=int, default=400)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=1)
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    sys.stdout.write("| | % | |\n|---|---|---|\n")
    for name, value, note in rows(load(given.checkpoint), given.count, given.seed):
        sys.stdout.write(f"| {name} | {value:.1f} | {note} |\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
