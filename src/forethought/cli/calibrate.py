"""`forethought calibrate`: what a model's confidence is worth, and when to believe it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.box import SIMPLE_HEAD
from rich.progress import Progress
from rich.table import Table

from .. import answers
from ..context import derive_seed
from ..engine import Engine
from ..errors import ForethoughtError, InvalidRequest
from ..evaluate.calibrate import SUFFIXES, Found, Point, Trace, Watch, detectors
from ..evaluate.problems import Exam, Problem, exam
from ..policy import Policy
from ..steer.detector import Calibration
from ..wire import JSON, Request
from .options import Gguf, Pocket, Upstream
from .screen import complain, to_people, to_pipe
from .source import Source, choose


def calibrate(
    file: Annotated[Path, typer.Argument(metavar="FILE.json", help="Where the calibration is written.")],
    problems: Annotated[
        str, typer.Option(metavar="NAME|FILE.jsonl", help="A set of problems, or lines of question and answer.")
    ] = "pocket",
    split: Annotated[str, typer.Option(help="Which part of the set: train, dev or test.")] = "dev",
    count: Annotated[int, typer.Option("--count", "-n", min=2, help="How many problems to ask.")] = 400,
    false_stops: Annotated[
        float, typer.Option(min=0, max=1, help="The largest share of answers that stopping early may lose.")
    ] = 0.01,
    suffix: Annotated[
        list[str] | None, typer.Option(help="Read the token after this; repeat it for more. \\n is a line's end.")
    ] = None,
    probe: Annotated[str, typer.Option(help="Asks for a trial answer; \\n is a line's end.")] = Watch().probe,
    probe_tokens: Annotated[int, typer.Option(min=1, help="The most tokens of a trial answer.")] = Watch().probe_tokens,
    lines: Annotated[int, typer.Option(min=0, help="Lines after which a step ends, as in the policy.")] = Watch().lines,
    seed: Annotated[int, typer.Option(help="Which problems, and which thoughts.")] = 0,
    temperature: Annotated[float, typer.Option(min=0, max=2, help="Sampling temperature.")] = 1.0,
    model: Annotated[str | None, typer.Option("--model", "-m", help="The model, by the name its server knows.")] = None,
    pocket: Pocket = False,
    gguf: Gguf = None,
    upstream: Upstream = None,
    concurrency: Annotated[int, typer.Option(min=1, max=256, help="Problems in flight.")] = 4,
) -> None:
    """Find the detector by which the layer `compress` stops a thought, for one model, and write it to a file.

    Every problem is thought through to its end; wherever the thought comes to an answer it is noted whether the
    answer is right there, and what the model would say next. The file holds the detector that saves most tokens
    while it loses no more right answers than allowed.

    [bold]Examples[/bold]

      forethought calibrate pocket.json
      forethought calibrate qwen.json --problems questions.jsonl --upstream http://127.0.0.1:11434/v1 -m qwen3
    """
    source = choose(pocket=pocket, gguf=gguf, upstream=upstream)
    watch = Watch(_unescaped(probe), probe_tokens, lines=lines, suffixes=tuple(map(_unescaped, suffix or SUFFIXES)))
    params = {"temperature": temperature, **({} if model is None else {"model": model})}
    plan = Plan(source, exam(problems, count, split=split, seed=seed), watch, params, seed, concurrency)
    found = detectors(asyncio.run(_traces(plan)), false_stops=false_stops)
    if not found:
        raise InvalidRequest("problems", problems, "no thought came to an answer before its end; check --lines")
    name = model or source.model or source.label
    written = Calibration(found[0].detector, name, {**found[0].measured, "false_stops": false_stops})
    file.write_text(json.dumps(written.to_json(), indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    to_pipe().print(_table(found))
    to_people().print(_advice(found[0], file, lines), soft_wrap=True)


@dataclass(frozen=True, slots=True)
class Plan:
    """What is asked of whom; `params` are fields of every request's body."""

    source: Source
    exam: Exam
    watch: Watch
    params: JSON
    seed: int
    concurrency: int


async def _traces(plan: Plan) -> Sequence[Trace]:
    """The thoughts that came to an end; raises the first error where none did."""
    await answers.load()
    gate = asyncio.Semaphore(plan.concurrency)
    total = len(plan.exam.problems)
    async with plan.source.opened() as backend:
        engine = Engine(backend, Policy("calibrate", layers=(plan.watch,)), sinks=())
        with Progress(console=to_people(), transient=True) as progress:
            task = progress.add_task("thinking", total=total)

            async def trace(index: int) -> Trace | ForethoughtError:
                async with gate:
                    try:
                        return await _trace(plan, engine, index)
                    except ForethoughtError as error:
                        return error
                    finally:
                        progress.advance(task)

            ended = await asyncio.gather(*map(trace, range(total)))
    failed = [each for each in ended if isinstance(each, ForethoughtError)]
    if len(failed) == total:
        raise failed[0]
    if failed:
        complain(f"{len(failed)} of {total} problems are left out, the first because of: {failed[0]}")
    return [each for each in ended if isinstance(each, Trace)]


async def _trace(plan: Plan, engine: Engine, index: int) -> Trace:
    problem = plan.exam.problems[index]
    params = {**plan.params, "seed": derive_seed(plan.seed, index)}
    completion = await engine.complete(Request(tuple(problem.messages), params))
    told = completion.done.report.get(Watch.kind, {})
    points = tuple(_points(plan.exam, problem, told))
    return Trace(told.get("thought", 0), plan.exam.is_right(problem, completion.text), points)


def _points(exam: Exam, problem: Problem, told: JSON) -> Iterator[Point]:
    for point in told.get("points", ()):
        yield Point(point["thought"], exam.is_right(problem, point["answer"]), point["readings"])


def _unescaped(text: str) -> str:
    return text.replace("\\n", "\n")


def _table(found: Sequence[Found]) -> Table:
    table = Table(box=SIMPLE_HEAD, show_edge=False, pad_edge=False)
    for column in ("after", "tokens"):
        table.add_column(column)
    for column in ("AUROC", "threshold", "thinking saved", "answers lost", "gained"):
        table.add_column(column, justify="right")
    for each in found:
        table.add_row(*_row(each))
    return table


def _row(found: Found) -> Iterator[Any]:
    detector = found.detector
    yield repr(detector.suffix)
    yield "a number" if detector.verbal else " ".join(map(repr, detector.tokens)) or "the likeliest"
    yield f"{found.auroc:.3f}"
    yield "never" if detector.threshold >= 1 else f"{detector.threshold:.4f}"
    yield from (f"{share:.1%}" for share in (found.saved, found.lost, found.gained))


def _advice(best: Found, file: Path, lines: int) -> str:
    if not best.saved:
        return f"{file} never stops a thought: nothing that was read allows it at this loss; ask more problems."
    return f'{file} holds the first; use it with: kind = "compress", calibration = "{file}", lines = {lines}'
