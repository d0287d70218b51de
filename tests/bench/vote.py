"""What thinking, voting and stopping early are worth on the embedded model, over problems it was not trained on.

    python tests/bench/vote.py [--problems 400] [--seed 0] [--json FILE]

The bars: thinking beats answering at once by 40 points; a majority of eight beats one of its samples by 10, taken
over all of them; stopping early keeps the majority's accuracy within 2 points and saves 30 % of its samples.
"""

from __future__ import annotations

import argparse
import asyncio
import json
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.progress import track
from rich.table import Table
from scipy.stats import binomtest

from forethought.cli.contest import DIRECT, EARLY, SINGLE, VOTE, Answered, Contestant, Tally, answer
from forethought.cli.recorder import Recorder
from forethought.context import derive_seed
from forethought.engine import Engine
from forethought.evaluate.problems import PROBLEMS, Problem
from forethought.plugins import load, open_backend
from forethought.ports import Backend

AT_ONCE = 4
"""Problems in flight, so that the local engine always has a full batch to decode."""


def main() -> None:
    options = _options()
    tallies = asyncio.run(_run(options.problems, options.seed))
    results = {name: tally.to_json() for name, tally in tallies.items()}
    bars = _bars(tallies)
    console = Console()
    console.print(_table(list(tallies.values())))
    for name, (measured, needed, met) in bars.items():
        console.print(f"{'[green]met[/]   ' if met else '[red]missed[/]'} {name}: {measured:.1f} (bar {needed})")
    if options.json:
        report = {"problems": options.problems, "seed": options.seed, "results": results, "bars": bars}
        options.json.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    raise SystemExit(not all(met for *_, met in bars.values()))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--problems", type=int, default=400)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", type=Path)
    return parser.parse_args()


async def _run(count: int, seed: int) -> dict[str, Tally]:
    source = load(PROBLEMS, "pocket")
    problems: Sequence[Problem] = source.problems("test", count, seed=seed)
    tallies = {contestant.name: Tally(contestant) for contestant in (DIRECT, SINGLE, VOTE, EARLY)}
    backend = open_backend("pocket", n_parallel=8 * AT_ONCE)
    for tally in tallies.values():
        gate = asyncio.Semaphore(AT_ONCE)
        asked = [
            _one(gate, backend, tally.contestant, problem, derive_seed(seed, i)) for i, problem in enumerate(problems)
        ]
        for answered in track(asyncio.as_completed(asked), tally.contestant.name, total=count):
            tally.answers.append(await answered)
    return tallies


async def _one(
    gate: asyncio.Semaphore, backend: Backend, contestant: Contestant, problem: Problem, seed: int | None
) -> Answered:
    recorder = Recorder()
    async with gate:
        engine = Engine(backend, contestant.policy, sinks=[recorder])
        return await answer(engine, recorder, load(PROBLEMS, "pocket"), problem, seed=seed)


def _bars(tallies: dict[str, Tally]) -> dict[str, tuple[float, float, bool]]:
    direct, single, vote, early = (tallies[each.name] for each in (DIRECT, SINGLE, VOTE, EARLY))
    measured = {
        "thinking once over answering at once, points": (100 * (single.accuracy - direct.accuracy), 40),
        "majority of eight over one sample, points": (100 * (vote.accuracy - _sample_accuracy(vote)), 10),
        "stopping early against the majority, points": (100 * (early.accuracy - vote.accuracy), -2),
        "samples saved by stopping early, percent": (100 * (1 - early.samples / vote.samples), 30),
    }
    return {name: (value, bar, value >= bar) for name, (value, bar) in measured.items()}


def _sample_accuracy(vote: Tally) -> float:
    """How often one sample of a vote is right, over all that were heard: eight times as sure as asking once."""
    source = load(PROBLEMS, "pocket")
    heard = [
        source.is_right(each.problem, said) for each in vote.answers for said in each.completion.done.report["answers"]
    ]
    return sum(heard) / len(heard)


def _table(tallies: Sequence[Tally]) -> Table:
    table = Table("way", "accuracy", "95 % interval", "samples", "tokens", title=f"{tallies[0].asked} test problems")
    for tally in tallies:
        low, high = binomtest(tally.right, tally.asked).proportion_ci(method="wilson")
        interval = f"{low:.1%} to {high:.1%}"
        table.add_row(
            tally.contestant.name, f"{tally.accuracy:.1%}", interval, f"{tally.samples:,}", f"{tally.tokens:,}"
        )
    return table


if __name__ == "__main__":
    main()
