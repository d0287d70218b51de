"""Votes that stop early, replayed on recorded answers of real models in many random orders.

    FORETHOUGHT_DATA=… python tests/bench/replay.py [--orders 100] [--samples 40] [--seed 0] [--sets WORD]

Each rule sees the samples of a problem one by one, in the same order as the others, and says when to stop; its answer
is then the majority of what it has seen. Rules: all samples; ours, a majority that stops when it is confident or
certain; Adaptive-Consistency (arXiv 2305.11860) with its threshold of 0.95; ESC (arXiv 2401.10480) with windows of 5.
A set is easy where the majority of all samples is right on 70 % of its problems.

The bars: on the easy sets ours saves half of the samples at half a point of accuracy or less, and on all sets together
it takes no more samples than Adaptive-Consistency and ESC, and is right as often within half a point. The last three
rows of each set are no bars: they show what other rules would do.
"""

from __future__ import annotations

import argparse
import gzip
import json
import os
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from random import Random
from typing import Any, TypeAlias

from rich.console import Console
from rich.progress import track
from rich.table import Table
from scipy.stats import betabinom

from forethought.answers import Clusters, extract
from forethought.evaluate.statistics import Estimate, gap, mean
from forethought.judge.majority import Majority, beta_confidence
from forethought.ports import Candidate
from forethought.wire import Completion

SETS = {
    "MATH, Qwen2.5-Math": "qwen25math_rm/math100_x8_rm",
    "dates, natural program": "verify_cot/date_natural_program_x10",
    "CRUXEval output": "cruxeval_codellama7b/output_T0.2_x10",
    "AMC23, 3B, step 400": "rg_math_llama3b/amc23_step400",
    "AMC23, 3B, step 800": "rg_math_llama3b/amc23_step800",
    "AIME24, 3B, step 400": "rg_math_llama3b/aime24_step400",
    "AIME24, 3B, step 800": "rg_math_llama3b/aime24_step800",
    "reasoning-gym, ten models": "rg_pool_10models/*",
}
EASY = 0.7
WINDOW = 5
THRESHOLD = 0.95

Rule: TypeAlias = Callable[[Sequence[str]], int]
"""How many of the answers, which come in this order, are heard; an empty one is no answer."""


@dataclass(frozen=True, slots=True)
class Recorded:
    """The samples of one problem: equal answers have one name, and `right` says which samples are."""

    answers: tuple[str, ...]
    right: tuple[bool, ...]


@dataclass(frozen=True, slots=True)
class Replayed:
    """One problem under one rule, over all orders: how often right, and samples heard, both on average."""

    right: float
    heard: float


def everything(answers: Sequence[str]) -> int:
    return len(answers)


def ours(confidence: float = THRESHOLD) -> Rule:
    rule = Majority(confidence=confidence)

    def heard(answers: Sequence[str]) -> int:
        judge = rule.open(len(answers))
        for index, answer in enumerate(answers):
            judge.add(Candidate(index, answer, Completion()))
            if judge.decided:
                return index + 1
        return len(answers)

    return heard


def adaptive_consistency(answers: Sequence[str]) -> int:
    votes = Counter[str]()
    for index, answer in enumerate(answers):
        votes.update([answer] if answer else [])
        first, second, *_ = (*sorted(votes.values(), reverse=True), 0, 0)
        if beta_confidence(first, second) >= THRESHOLD:
            return index + 1
    return len(answers)


def esc(answers: Sequence[str]) -> int:
    for start in range(0, len(answers) - WINDOW + 1, WINDOW):
        window = set(answers[start : start + WINDOW])
        if len(window) == 1 and window != {""}:
            return start + WINDOW
    return len(answers)


def predictive(answers: Sequence[str]) -> int:
    """Stops when the samples still to come would, by what was seen, change the winner in fewer than 5 % of cases."""
    votes = Counter[str]()
    for index, answer in enumerate(answers):
        votes.update([answer] if answer else [])
        first, second, *_ = (*sorted(votes.values(), reverse=True), 0, 0)
        if first > second and _keeps_the_lead(first, second, len(answers) - index - 1) >= THRESHOLD:
            return index + 1
    return len(answers)


@cache
def _keeps_the_lead(first: int, second: int, left: int) -> float:
    """The beta-binomial chance that `first` ends ahead of `second` when `left` more votes fall on one of the two."""
    least = max(0, (second + left - first) // 2 + 1)
    return float(betabinom(left, first + 1, second + 1).sf(least - 1))


RULES: dict[str, Rule] = {
    "all": everything,
    "ours": ours(),
    "Adaptive-Consistency": adaptive_consistency,
    "ESC": esc,
    "ours, 0.9": ours(0.9),
    "certain only": ours(1),
    "predictive": predictive,
}
Results: TypeAlias = dict[str, list[Replayed]]


def main() -> None:
    options = _options()
    data = Path(os.environ.get("FORETHOUGHT_DATA") or sys.exit("FORETHOUGHT_DATA names no directory of recordings"))
    console = Console()
    table = Table("set", "rule", "right", "against all, points", "samples", "saved", title=f"{options.orders} orders")
    results = {
        name: _replay(_problems(where), options) for name, where in _sets(data)
        if options.sets in name
    }  # fmt: skip
    groups = {**results, **_pooled(results)}
    for name, found in groups.items():
        _rows(table, name, found)
    console.print(table)
    bars = _bars(groups)
    for name, (measured, needed, met) in bars.items():
        console.print(f"{'[green]met[/]   ' if met else '[red]missed[/]'} {name}: {measured:.2f} (bar {needed})")
    raise SystemExit(not all(met for *_, met in bars.values()))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--orders", type=int, default=100)
    parser.add_argument("--samples", type=int, default=40, help="the most samples a problem has")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--sets", default="", help="only those with this in their name")
    return parser.parse_args()


def _sets(data: Path) -> Iterator[tuple[str, list[Path]]]:
    for name, pattern in SETS.items():
        found = sorted(data.glob(f"{pattern}.jsonl.gz"))
        if found:
            yield name, found


def _problems(files: Sequence[Path]) -> list[Recorded]:
    problems: list[Recorded] = []
    for file in track(files, files[0].parent.name, transient=True):
        with gzip.open(file, "rt", encoding="utf-8") as lines:
            problems += [_recorded(json.loads(line)) for line in lines]
    return problems


def _recorded(row: dict[str, Any]) -> Recorded:
    """Equal answers are found once here, so that an order costs no comparisons."""
    clusters = Clusters()
    names: list[str] = []
    for sample in row["samples"]:
        cluster = clusters.add(extract(sample["text"], str(row.get("question", ""))))
        names.append("" if cluster is None else f"answer {cluster}")
    return Recorded(tuple(names), tuple(float(sample["score"] or 0) >= 0.99 for sample in row["samples"]))


def _replay(problems: Sequence[Recorded], options: argparse.Namespace) -> Results:
    rng = Random(options.seed)
    results: Results = {name: [] for name in RULES}
    for problem in track(problems, "replaying", transient=True):
        places = range(len(problem.answers))
        orders = [rng.sample(places, min(options.samples, len(places))) for _ in range(options.orders)]
        for name, rule in RULES.items():
            tries = [_try(rule, problem, order) for order in orders]
            right, heard = (sum(column) / len(tries) for column in zip(*tries, strict=True))
            results[name].append(Replayed(right, heard))
    return results


def _try(rule: Rule, problem: Recorded, order: Sequence[int]) -> tuple[bool, int]:
    answers = [problem.answers[place] for place in order]
    heard = rule(answers)
    return problem.right[order[_leader(answers[:heard])]], heard


def _leader(answers: Sequence[str]) -> int:
    """The first sample of the largest cluster; of equals that of the earliest."""
    votes = Counter(answer for answer in answers if answer)
    return answers.index(votes.most_common(1)[0][0]) if votes else 0


def _pooled(results: dict[str, Results]) -> dict[str, Results]:
    easy = [found for found in results.values() if mean([each.right for each in found["all"]]).value >= EASY]
    return {"easy sets": _joined(easy), "all sets": _joined(list(results.values()))}


def _joined(parts: Sequence[Results]) -> Results:
    return {rule: [each for part in parts for each in part[rule]] for rule in RULES}


def _rows(table: Table, name: str, found: Results) -> None:
    for rule, replayed in found.items():
        if not replayed:
            continue
        right = mean([each.right for each in replayed])
        against = gap([each.right for each in replayed], [each.right for each in found["all"]])
        heard = mean([each.heard for each in replayed])
        table.add_row(
            f"{name} ({len(replayed)})" if rule == "all" else "",
            rule,
            f"{100 * right.value:.1f}",
            "" if rule == "all" else _points(against),
            f"{heard.value:.1f} ({heard.low:.1f} to {heard.high:.1f})",
            f"{100 * _saved(found, rule):.1f} %",
            end_section=rule == list(RULES)[-1],
        )


def _points(found: Estimate) -> str:
    return f"{100 * found.value:+.2f} ({100 * found.low:+.2f} to {100 * found.high:+.2f})"


def _saved(found: Results, rule: str, than: str = "all") -> float:
    return 1 - sum(each.heard for each in found[rule]) / sum(each.heard for each in found[than])


def _accuracy(found: Results, rule: str) -> float:
    return 100 * sum(each.right for each in found[rule]) / len(found[rule])


def _bars(groups: dict[str, Results]) -> dict[str, tuple[float, float, bool]]:
    easy, whole = groups["easy sets"], groups["all sets"]
    measured = {"all sets, samples fewer than Adaptive-Consistency, percent": (100 * _saved(whole, "ours", THEIRS), 0)}
    measured |= {
        "all sets, samples fewer than ESC, percent": (100 * _saved(whole, "ours", "ESC"), 0),
        "all sets, points over Adaptive-Consistency": (_accuracy(whole, "ours") - _accuracy(whole, THEIRS), -0.5),
        "all sets, points over ESC": (_accuracy(whole, "ours") - _accuracy(whole, "ESC"), -0.5),
    }
    if easy["all"]:
        measured["easy sets, samples saved, percent"] = (100 * _saved(easy, "ours"), 50)
        measured["easy sets, points over all samples"] = (_accuracy(easy, "ours") - _accuracy(easy, "all"), -0.5)
    return {name: (value, bar, value >= bar) for name, (value, bar) in measured.items()}


THEIRS = "Adaptive-Consistency"

if __name__ == "__main__":
    main()
