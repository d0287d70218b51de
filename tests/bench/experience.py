"""What experience is worth: a layer that learns which policy wins where, against every policy that stays the same.

    python tests/bench/experience.py [--learn 200] [--measure 300] [--seed 0] [--json FILE] [--journal FILE]

A stream of problems of four kinds goes through the layer `experience` in four orders: shuffled by three seeds, and
one kind after another. After each answer it is told whether it was right. What it takes to learn the first 200 is
reported apart; the next 300 are measured, with all that the layer still compares and explores there. Every fixed
policy answers the same 300 problems with the same seeds. Then the same without the truth, scored by what most policies
of a comparison agree on.

Costs are tokens computed: those of the prompt that nothing had cached, and those written. The bars, in each order with
feedback: at least 95 % of the accuracy of the best fixed policy, at no more than 60 % of its cost.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
from collections import Counter
from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, cast

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn
from rich.table import Table

from forethought import answers
from forethought.context import derive_seed
from forethought.engine import DIRECTLY, Engine
from forethought.evaluate.outcome import Journal, Outcome
from forethought.evaluate.problems import PROBLEMS, Exam
from forethought.evaluate.runner import run, trials
from forethought.evaluate.statistics import Estimate, growth, mean, share
from forethought.learn.experience import Experience
from forethought.plugins import load, open_backend
from forethought.policy import Policy
from forethought.policy import load as load_policy
from forethought.ports import Backend
from forethought.store.memory import MemoryStore
from forethought.wire import Completion, Request

HERE = Path(__file__).parent
KINDS = ("chain", "reach", "repeat", "zero")
FIXED = ("direct", "brake", "compress", "deepen", "handbook", "ladder", "early", "rounds", "lookahead", "stacked")
DEFAULT = "stacked"
CANDIDATES = ("none", "deepen", "handbook", "ladder", "early", "lookahead")
"""Among what the layer chooses: one policy of each way to think, and the best that is known as its default."""
REFERENCE = "advised"
"""A policy that only who knows these kinds can write, the handbook over the default; measured, but no bar."""
ORDERS = ("shuffled 1", "shuffled 2", "shuffled 3", "by kind")
ACCURACY, COST = 0.95, 0.60
PARAMS = {"temperature": 1.0}
AT_ONCE = 8


@dataclass(frozen=True, slots=True)
class Asked:
    """One problem of the stream: its number, which gives its seed, and its kind."""

    index: int
    kind: str
    problem: Any


@dataclass(frozen=True, slots=True)
class Answered:
    """One problem, answered by experience."""

    asked: Asked
    right: bool
    computed: int
    tokens: int
    policy: str
    why: str


@dataclass(slots=True)
class Stream:
    """One order of the problems, with or without the truth as feedback."""

    order: str
    feedback: str
    learning: list[Answered] = field(default_factory=list[Answered])
    measured: list[Answered] = field(default_factory=list[Answered])

    @property
    def by_index(self) -> list[Answered]:
        return sorted(self.measured, key=lambda each: each.asked.index)


@dataclass(frozen=True, slots=True)
class Against:
    """A stream against one fixed policy, as shares of its accuracy and of its cost."""

    accuracy: Estimate
    cost: Estimate
    tokens: Estimate


def main() -> None:
    options = _options()
    learning, measured = _problems(options)
    fixed, streams = asyncio.run(_run(options, learning, measured))
    best = max(fixed.keys() - {REFERENCE}, key=lambda name: (_right(fixed[name]), -_computed(fixed[name]), name))
    against = [_against(stream, fixed[best]) for stream in streams]
    beyond = [_against(stream, fixed[REFERENCE]) for stream in streams]
    console = Console()
    console.print(_fixed_table(fixed, measured))
    console.print(_streams_table(streams, against, f"{best!r}, the best that is fixed"))
    console.print(_streams_table(streams, beyond, f"{REFERENCE!r}, which knows the kinds; no bar"))
    console.print(_choices_table(streams))
    bars = _bars(streams, against)
    for name, (value, needed, met) in bars.items():
        console.print(f"{'[green]met[/]   ' if met else '[red]missed[/]'} {name}: {value:.1f} % (bar {needed:.0f} %)")
    if options.json:
        report = _report(options, fixed, streams, against, best, bars)
        options.json.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    raise SystemExit(not all(met for *_, met in bars.values()))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--learn", type=int, default=200, help="problems before those that are measured")
    parser.add_argument("--measure", type=int, default=300)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", type=Path, help="write all results there")
    parser.add_argument("--journal", type=Path, help="keep what the fixed policies did there, and go on from it")
    return parser.parse_args()


def _problems(options: argparse.Namespace) -> tuple[list[Asked], list[Asked]]:
    """Those to learn on and those to measure on, as many of each kind, in the order of kinds."""
    source = load(PROBLEMS, "pocket")
    first, more = options.learn // len(KINDS), options.measure // len(KINDS)
    found = [(kind, source.problems("test", first + more, seed=options.seed, kind=kind)) for kind in KINDS]
    split = [[(kind, each[:first]) for kind, each in found], [(kind, each[first:]) for kind, each in found]]
    numbers = iter(range(options.learn + options.measure))
    learning, measured = (
        [Asked(next(numbers), kind, problem) for kind, problems in part for problem in problems] for part in split
    )
    return learning, measured


def _fixed_policies() -> list[Policy]:
    named = {path.stem: path for path in (HERE / "policies").glob("*.toml")}
    known = [DIRECTLY, *(load_policy(named.get(name, name)) for name in FIXED)]
    layers = {policy.name: policy.layers for policy in known}
    return [*known, Policy(REFERENCE, layers=(*layers["handbook"], *layers[DEFAULT]))]


async def _run(
    options: argparse.Namespace, learning: Sequence[Asked], measured: Sequence[Asked]
) -> tuple[dict[str, list[Outcome]], list[Stream]]:
    await answers.load()
    policies = {policy.name: policy for policy in _fixed_policies()}
    # An engine each, so that neither side finds its prompts in the cache of the other.
    one, other = (cast("Any", open_backend("pocket", n_parallel=64)) for _ in range(2))
    fixed: dict[str, list[Outcome]] = {}
    columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn()
    with ExitStack() as opened:
        progress = opened.enter_context(Progress(*columns, transient=True))
        journal = opened.enter_context(Journal(options.journal))
        streams = [Stream(order, feedback) for feedback in ("truth", "agreement") for order in ORDERS]
        async with asyncio.TaskGroup() as group:
            group.create_task(_answer_all(one, policies.values(), measured, options.seed, journal, progress, fixed))
            for stream in streams:
                bar = progress.add_task(f"{stream.order}, {stream.feedback}", total=len(learning) + len(measured))
                learner = Learner(other, policies, stream, options.seed, progress, bar)
                group.create_task(learner.go(learning, measured))
    await one.aclose()
    await other.aclose()
    return fixed, streams


async def _answer_all(
    backend: Backend,
    policies: Iterable[Policy],
    asked: Sequence[Asked],
    seed: int,
    journal: Journal,
    progress: Progress,
    fixed: dict[str, list[Outcome]],
) -> None:
    """What each fixed policy does, into `fixed`; problem by problem with the seeds that the streams have."""
    source = load(PROBLEMS, "pocket")
    exam = Exam([each.problem for each in asked], source.is_right)
    first = asked[0].index
    padded = [asked[0].problem] * first + [each.problem for each in asked]
    for policy in policies:
        engine = Engine(backend, policy, sinks=())
        planned = trials(engine, padded, model="pocket", params=PARAMS, seed=seed)[first:]
        found = [journal.known[each.key] for each in planned if each.key in journal.known]
        bar = progress.add_task(policy.name, total=len(asked), completed=len(found))

        def tell(outcome: Outcome, found: list[Outcome] = found, bar: TaskID = bar) -> None:
            journal.add(outcome)
            found.append(outcome)
            progress.advance(bar)

        waiting = [each for each in planned if each.key not in journal.known]
        await run(engine, exam, waiting, tell, concurrency=AT_ONCE)
        fixed[policy.name] = sorted(found, key=lambda each: each.index)


@dataclass(slots=True)
class Learner:
    """Sends one stream through the layer, a problem at a time, and tells it how each answer was."""

    backend: Backend
    policies: dict[str, Policy]
    stream: Stream
    seed: int
    progress: Progress
    bar: TaskID

    async def go(self, learning: Sequence[Asked], measured: Sequence[Asked]) -> None:
        truth = self.stream.feedback == "truth"
        layer = Experience(
            default=self.policies[DEFAULT].to_json(),
            candidates=[self.policies[name].to_json() for name in CANDIDATES],
            verify="feedback" if truth else "agreement",
            memory=MemoryStore(),
        )
        engine = Engine(self.backend, Policy("experience", layers=(layer,)), sinks=())
        for asked, told in ((learning, self.stream.learning), (measured, self.stream.measured)):
            for each in _ordered(asked, self.stream.order):
                told.append(await self._one(engine, each, truth=truth))
                self.progress.advance(self.bar)

    async def _one(self, engine: Engine, asked: Asked, *, truth: bool) -> Answered:
        request = Request(tuple(asked.problem.messages), {**PARAMS, "seed": derive_seed(self.seed, asked.index)})
        completion = await engine.complete(request)
        right = bool(load(PROBLEMS, "pocket").is_right(asked.problem, completion.text))
        if truth:
            # A `reach` problem may have several right answers, so its one is not told.
            answer = None if asked.kind == "reach" else asked.problem.answer
            await engine.feedback(completion.run, float(right), answer=answer)
        return _answered(asked, completion, right)


def _answered(asked: Asked, completion: Completion, right: bool) -> Answered:
    usage, told = completion.usage, completion.done.report["experience"]
    computed = usage.total_tokens - usage.cached_tokens
    return Answered(asked, right, computed, usage.total_tokens, told["policy"], told["why"])


def _ordered(asked: Sequence[Asked], order: str) -> list[Asked]:
    ordered = list(asked)
    if order != "by kind":
        random.Random(order).shuffle(ordered)
    return ordered


def _right(outcomes: Sequence[Outcome]) -> int:
    return sum(bool(each.right) for each in outcomes)


def _computed(outcomes: Sequence[Outcome]) -> int:
    return sum(each.computed for each in outcomes)


def _against(stream: Stream, fixed: Sequence[Outcome]) -> Against:
    ours = stream.by_index
    return Against(
        _as_share(growth([each.right for each in ours], [bool(each.right) for each in fixed])),
        _as_share(growth([each.computed for each in ours], [each.computed for each in fixed])),
        _as_share(growth([each.tokens for each in ours], [each.tokens for each in fixed])),
    )


def _as_share(change: Estimate) -> Estimate:
    return Estimate(1 + change.value, 1 + change.low, 1 + change.high)


def _bars(streams: Sequence[Stream], against: Sequence[Against]) -> dict[str, tuple[float, float, bool]]:
    bars: dict[str, tuple[float, float, bool]] = {}
    for stream, found in zip(streams, against, strict=True):
        if stream.feedback == "truth":
            right, cost = found.accuracy.value, found.cost.value
            bars[f"{stream.order}, accuracy of the best fixed policy"] = (
                100 * right,
                100 * ACCURACY,
                right >= ACCURACY,
            )
            bars[f"{stream.order}, cost of it"] = (100 * cost, 100 * COST, cost <= COST)
    return bars


def _fixed_table(fixed: dict[str, list[Outcome]], measured: Sequence[Asked]) -> Table:
    table = Table("policy", "right", "computed", "all tokens", *KINDS, title=f"Fixed, on {len(measured)} problems")
    for name, found in fixed.items():
        kinds = [[o for o, asked in zip(found, measured, strict=True) if asked.kind == kind] for kind in KINDS]
        table.add_row(
            name,
            _percent(share([bool(each.right) for each in found])),
            _whole(mean([each.computed for each in found])),
            f"{sum(each.tokens for each in found) / len(found):.0f}",
            *(f"{100 * _right(each) / len(each):.0f} %, {_computed(each) / len(each):.0f}" for each in kinds),
        )
    return table


def _streams_table(streams: Sequence[Stream], against: Sequence[Against], other: str) -> Table:
    title = f"Experience, against {other}"
    table = Table(
        "scored by", "order", "learning", "right", "computed", "its accuracy", "its cost", "all tokens", title=title
    )
    for stream, found in zip(streams, against, strict=True):
        learned, ours = stream.learning, stream.by_index
        table.add_row(
            stream.feedback if stream.order == ORDERS[0] else "",
            stream.order,
            f"{100 * sum(each.right for each in learned) / len(learned):.0f} %, "
            f"{sum(each.computed for each in learned) / len(learned):.0f}",
            _percent(share([each.right for each in ours])),
            _whole(mean([each.computed for each in ours])),
            _percent(found.accuracy),
            _percent(found.cost),
            _percent(found.tokens),
            end_section=stream.order == ORDERS[-1],
        )
    return table


def _choices_table(streams: Sequence[Stream]) -> Table:
    table = Table("scored by", "order", *KINDS, "compared", "explored", title="What answered, on the measured problems")
    for stream in streams:
        why = Counter(each.why for each in stream.measured)
        chosen = {kind: Counter(o.policy for o in stream.measured if o.asked.kind == kind) for kind in KINDS}
        told = [", ".join(f"{name} {count}" for name, count in chosen[kind].most_common(3)) for kind in KINDS]
        table.add_row(stream.feedback, stream.order, *told, str(why["compared"]), str(why["explored"]))
    return table


def _percent(found: Estimate) -> str:
    return f"{100 * found.value:.1f} % ({100 * found.low:.1f} to {100 * found.high:.1f})"


def _whole(found: Estimate) -> str:
    return f"{found.value:.0f} ({found.low:.0f} to {found.high:.0f})"


def _report(
    options: argparse.Namespace,
    fixed: dict[str, list[Outcome]],
    streams: Sequence[Stream],
    against: Sequence[Against],
    best: str,
    bars: dict[str, Any],
) -> dict[str, Any]:
    def told(each: Answered) -> dict[str, Any]:
        return {"index": each.asked.index, "kind": each.asked.kind, **{n: getattr(each, n) for n in _TOLD}}

    return {
        "learn": options.learn,
        "measure": options.measure,
        "seed": options.seed,
        "best": best,
        "bars": bars,
        "fixed": {
            name: {"right": _right(found), "computed": _computed(found), "tokens": sum(o.tokens for o in found)}
            for name, found in fixed.items()
        },
        "streams": [
            {
                "order": stream.order,
                "feedback": stream.feedback,
                "against": asdict(found),
                "learning": [told(each) for each in stream.learning],
                "measured": [told(each) for each in stream.measured],
            }
            for stream, found in zip(streams, against, strict=True)
        ],
    }


_TOLD = ("right", "computed", "tokens", "policy", "why")

if __name__ == "__main__":
    main()
