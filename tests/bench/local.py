"""What the local engine is worth: every figure a ratio of two things measured in this run, on this machine.

    python tests/bench/local.py [--soak 60] [--only branches sharing steering overhead vote soak] [--json FILE]

Speed is measured on a random model of 90 million parameters, the vote and the soak on the pocket model. Where
`make llama-server` has built one, one is on the PATH, or LLAMA_SERVER names it, it is measured beside. Figures of a
machine that does something else meanwhile say little.
"""

from __future__ import annotations

import argparse
import asyncio
import platform
import sys
import time
from collections.abc import AsyncIterator, Callable
from functools import partial
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))  # where `support` is

import branches
import llama_cpp
import overhead
import psutil
import soak
import steering
from lines import Line, show, write
from rich.console import Console

from forethought.cli.contest import EARLY, SINGLE, VOTE, compete
from forethought.evaluate.problems import PROBLEMS
from forethought.plugins import load, open_backend

ROUNDS = 3

Part = Callable[[], AsyncIterator[Line]]


def main() -> None:
    options = _options()
    parts: dict[str, Part] = {
        "branches": branches.measure,
        "sharing": branches.sharing,
        "steering": steering.measure,
        "overhead": overhead.measure,
        "vote": vote,
        "soak": partial(soak.measure, options.soak),
    }
    lines = asyncio.run(_run([parts[name] for name in options.only or parts]))
    write(options.json, lines, _about())
    raise SystemExit(any(line.missed for line in lines))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--soak", type=float, default=60, metavar="SECONDS")
    parser.add_argument("--only", nargs="*", metavar="PART")
    parser.add_argument("--json", type=Path, default=Path(__file__).with_suffix(".json"))
    return parser.parse_args()


async def _run(parts: list[Part]) -> list[Line]:
    console, lines = Console(), list[Line]()
    for part in parts:
        async for line in part():
            show(console, line)
            lines.append(line)
    return lines


async def vote() -> AsyncIterator[Line]:
    """The time that a vote of eight takes over one sample: the demo's contestants on the pocket model.

    Of several rounds, the shortest time counts for each problem.
    """
    source = load(PROBLEMS, "pocket")
    problems = source.problems("test", 40, seed=0)
    seconds: dict[str, list[float]] = {}
    async with open_backend("pocket") as backend:
        await backend.load()
        for contestant in (SINGLE, VOTE, EARLY) * ROUNDS:
            answers = [each async for each in compete(backend, source, problems, contestant, seed=0)]
            taken = [answer.seconds for answer in answers]
            seconds[contestant.name] = list(map(min, seconds.get(contestant.name, taken), taken))
    single, full, early = (sum(seconds[contestant.name]) for contestant in (SINGLE, VOTE, EARLY))
    yield Line("one sample of the pocket model", 1000 * single / len(problems), "ms")
    yield Line("a vote of eight / one sample", full / single, most=3)
    yield Line("a vote of eight that stops early / one sample", early / single)


def _about() -> dict[str, object]:
    return {
        "cores": psutil.cpu_count(logical=False),
        "load": psutil.getloadavg(),
        "llama_cpp": llama_cpp.__version__,
        "python": platform.python_version(),
        "at": time.strftime("%Y-%m-%d %H:%M:%S"),
    }


if __name__ == "__main__":
    main()
