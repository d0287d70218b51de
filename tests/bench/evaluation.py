"""Every policy on every kind of problem of the embedded model, set against the bars, as one report in Markdown.

    python tests/bench/evaluation.py [--problems 500] [--seed 0] [--kinds chain,reach] [--json FILE] [--report FILE]

With `--json` each result is appended to FILE, and a rerun goes on from there. A bar is met where the mean meets it;
where its interval reaches to the other side of the bar, the report says so. Tokens are judged by those computed: a
probe reads a long prompt again from the cache, which costs a local engine nothing.
"""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import platform
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.metadata import version
from math import ceil
from pathlib import Path
from typing import Any, TypeAlias

from forethought import answers, policy
from forethought.cli.standings import Standings
from forethought.engine import DIRECTLY, Engine
from forethought.evaluate.markdown import NOTE, contrast_cells, policies, table
from forethought.evaluate.outcome import Journal, Outcome
from forethought.evaluate.problems import Exam, exam
from forethought.evaluate.runner import run, trials
from forethought.evaluate.statistics import Estimate
from forethought.evaluate.summary import Contrast, contrast, hardest_quarter, summarize
from forethought.judge.majority import Majority
from forethought.policy import Policy
from forethought.search.vote import Vote
from forethought_adapters.pocket import open_backend
from forethought_pocket import model_path

HERE = Path(__file__).parent
SHIPPED = HERE.parents[1] / "policies/forethought_policies"
KINDS = ("chain", "reach", "repeat", "zero")
AT_ONCE = 4
"""Problems in flight, so that the local engine always has a full batch to decode."""
EQUAL = "majority at the tokens of pessimistic"
FIXED = 8
"""Samples of the policy `fixed`, by which those of the majority at equal tokens are reckoned."""

Found: TypeAlias = Mapping[str, Sequence[Outcome]]
"""Outcomes by the name of the policy."""


@dataclass(frozen=True, slots=True)
class Contestant:
    """A policy, and the fields of the body it is asked with."""

    policy: Policy
    params: Mapping[str, Any] = field(default_factory=dict[str, Any])


@dataclass(frozen=True, slots=True)
class Bar:
    """What `ours` should do against `base` on one kind of problem, or its hardest quarter; without numbers, no bar.

    `computed` is the most that tokens may change, as a share; `points` the least by which accuracy must change, and
    `beats` asks for more than that.
    """

    kind: str
    ours: str
    base: str
    computed: float | None = None
    points: float | None = None
    beats: bool = False
    hardest: bool = False

    def __str__(self) -> str:
        tokens = "" if self.computed is None else f"computed ≤ {100 * self.computed:+.0f} %"
        accuracy = "" if self.points is None else f"points {'>' if self.beats else '≥'} {self.points:+.0f}"
        return ", ".join(filter(None, (tokens, accuracy))) or "none"

    def verdict(self, found: Contrast) -> str:
        """Met or missed, and whether that is within chance."""
        sides: list[tuple[bool, bool]] = []
        if self.computed is not None:
            sides.append((found.computed.value <= self.computed, _reaches(found.computed, self.computed)))
        if self.points is not None:
            moved, least = found.accuracy, self.points / 100
            sides.append((moved.value > least if self.beats else moved.value >= least, _reaches(moved, least)))
        if not sides:
            return ""
        met = "**met**" if all(right for right, _ in sides) else "**missed**"
        return f"{met}, within chance" if any(uncertain for _, uncertain in sides) else met


def _reaches(found: Estimate, bar: float) -> bool:
    return not (found.low > bar or found.high < bar)


BARS = (
    Bar("chain", "brake", "none", computed=-0.3, points=-1),
    Bar("chain", "compress", "none", computed=-0.3, points=-1),
    Bar("repeat", "handbook", "none", computed=-0.4, points=-1),
    Bar("zero", "handbook", "none", computed=-0.4, points=-1),
    Bar("chain", "pessimistic", EQUAL, points=0, beats=True),
    Bar("chain", "deepen", "none", points=0, beats=True, hardest=True),
    Bar("reach", "lookahead, greedy", "greedy", points=0, beats=True),
    Bar("reach", "lookahead", "none"),
    Bar("chain", "early", "fixed"),
    Bar("chain", "ladder", "early"),
    Bar("chain", "stacked", "early"),
    Bar("chain", "stacked", "fixed", hardest=True),
)


def main() -> None:
    options = _options()
    results = asyncio.run(_measure(options))
    options.report.parent.mkdir(parents=True, exist_ok=True)
    options.report.write_text(_report(results, options), encoding="utf-8")
    print(options.report.read_text(encoding="utf-8"))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--problems", type=int, default=500, help="of each kind")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--kinds", type=lambda text: text.split(","), default=list(KINDS))
    parser.add_argument("--json", type=Path)
    parser.add_argument("--report", type=Path, default=Path("build/evaluation.md"))
    return parser.parse_args()


async def _measure(options: argparse.Namespace) -> dict[str, dict[str, list[Outcome]]]:
    """Outcomes by kind of problem and name of policy."""
    await answers.load()
    if options.json is not None:
        options.json.parent.mkdir(parents=True, exist_ok=True)
    results: dict[str, dict[str, list[Outcome]]] = {}
    with Journal(options.json) as journal:
        for kind in options.kinds:
            asked = exam("pocket", options.problems, kind=kind, seed=options.seed)
            with Standings(options.problems) as standings:
                results[kind] = await Room(asked, journal, standings, options.seed).all_of(_contestants(kind))
    return results


def _contestants(kind: str) -> Iterator[Contestant]:
    yield Contestant(DIRECTLY)
    for folder in (SHIPPED, HERE / "policies"):
        yield from (Contestant(policy.load(file)) for file in sorted(folder.glob("*.toml")))
    if kind == "reach":
        greedily = {"temperature": 0}
        ahead = policy.load(HERE / "policies/lookahead.toml")
        yield Contestant(Policy("greedy"), greedily)
        yield Contestant(Policy("lookahead, greedy", layers=ahead.layers), greedily)


@dataclass(frozen=True, slots=True)
class Room:
    """Where the problems of one kind are asked."""

    exam: Exam
    journal: Journal
    standings: Standings
    seed: int

    async def all_of(self, contestants: Iterator[Contestant]) -> dict[str, list[Outcome]]:
        found = {each.policy.name: await self.outcomes(each) for each in contestants}
        if {"pessimistic", "fixed"} <= found.keys():
            found[EQUAL] = await self.outcomes(Contestant(_equal(found)))
        return found

    async def outcomes(self, contestant: Contestant) -> list[Outcome]:
        """What is known of one contestant, and what is asked now, of a model in whose cache no other left a prompt."""
        async with open_backend() as backend:
            return await self._asked(contestant, Engine(backend, contestant.policy, sinks=()))

    async def _asked(self, contestant: Contestant, engine: Engine) -> list[Outcome]:
        asked = trials(engine, self.exam.problems, model="pocket", params=contestant.params, seed=self.seed)
        known = self.journal.known
        found = {each.index: known[each.key] for each in asked if each.key in known and not known[each.key].error}

        def tell(outcome: Outcome) -> None:
            found[outcome.index] = outcome
            self.journal.add(outcome)
            self.standings.show(contestant.policy.name, found.values())

        await run(engine, self.exam, [each for each in asked if each.index not in found], tell, concurrency=AT_ONCE)
        return [found[index] for index in sorted(found)]


def _equal(found: Found) -> Policy:
    """A majority of as many samples as take no fewer tokens than the pessimistic vote takes with its verifications."""
    ours, fixed = (summarize(name, found[name]).tokens.value for name in ("pessimistic", "fixed"))
    samples = max(1, ceil(FIXED * ours / fixed))
    every = Majority(min_votes=samples)
    return Policy(EQUAL, f"Every one of {samples} samples is heard.", layers=(Vote(samples, eager=True, judge=every),))


def _report(results: Mapping[str, Found], options: argparse.Namespace) -> str:
    title = f"# Evaluation on the embedded model, {options.problems} test problems of each kind, seed {options.seed}"
    bars = [bar for bar in BARS if bar.kind in results and {bar.ours, bar.base} <= results[bar.kind].keys()]
    parts = [title, "## Bars", _bars(bars, results), NOTE, REMARKS]
    for kind, found in results.items():
        parts += [f"## `{kind}`", policies(found), _hardest(found)]
        if EQUAL in found:
            parts.append(f"`{EQUAL}`: {_equal(found).when}")
    return "\n\n".join([*parts, "## Versions", _versions()]) + "\n"


def _bars(bars: Sequence[Bar], results: Mapping[str, Found]) -> str:
    head = ("kind", "policy", "against", "problems", "points", "tokens", "computed", "written", "bar", "")
    return table(head, (_row(bar, results[bar.kind]) for bar in bars))


def _row(bar: Bar, found: Found) -> tuple[str, ...]:
    ours, theirs = (_hard(found[name]) if bar.hardest else found[name] for name in (bar.ours, bar.base))
    against = contrast(bar.ours, ours, bar.base, theirs)
    kind = f"`{bar.kind}`, hardest quarter" if bar.hardest else f"`{bar.kind}`"
    return (kind, *contrast_cells(against), str(bar), bar.verdict(against))


def _hard(outcomes: Sequence[Outcome]) -> list[Outcome]:
    least = hardest_quarter([each.difficulty for each in outcomes])
    return [each for each in outcomes if each.difficulty >= least]


def _hardest(found: Found) -> str:
    """The same policies on the hardest quarter of the problems."""
    return "The hardest quarter alone:\n\n" + policies({name: _hard(outcomes) for name, outcomes in found.items()})


def _versions() -> str:
    commit = subprocess.run(["git", "describe", "--always", "--dirty"], capture_output=True, text=True, cwd=HERE)
    packages = ("forethought", "llama-cpp-python", "numpy", "scipy")
    rows = [(name, version(name)) for name in packages]
    rows += [
        ("commit", commit.stdout.strip()),
        ("pocket.gguf, SHA-256", hashlib.sha256(model_path().read_bytes()).hexdigest()[:16]),
        ("Python", platform.python_version()),
        ("machine", f"{platform.system()} {platform.machine()}"),
    ]
    return table(("what", "version"), rows)


REMARKS = """\
`greedy` and `lookahead, greedy` are asked at temperature 0, all others at the model's own of 1. A single thought ends
by itself and has no use for more tokens; sampled again for them, its majority is that of two or fewer as long as
deepening takes less than three times as many, which is right as often as one. A row without a bar is told for
comparison."""

if __name__ == "__main__":
    main()
