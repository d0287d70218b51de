"""`forethought steer-vector`: a direction in which a model thinks shorter, as a file, and a trial of it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from importlib import import_module
from pathlib import Path
from typing import Annotated, Any, Literal, Protocol, TypeAlias, runtime_checkable

import typer
from rich.console import RenderableType
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from .. import answers
from ..errors import MissingCapability
from ..evaluate.problems import Exam, exam
from ..ports import Backend
from .options import Gguf, Pocket
from .screen import to_people, to_pipe
from .source import Source, choose
from .steer_vector_pairs import Pair, read, sample

At: TypeAlias = Literal["thought", "last"]
Told: TypeAlias = Callable[[int], None]

SCALES = (-1.0, -0.5, -0.25, 0.0, 0.25, 0.5, 1.0)
_PAIRS = "Pairs of thoughts"
_TRIAL = "The trial afterwards"

Out: TypeAlias = Annotated[Path, typer.Argument(metavar="FILE", dir_okay=False, help="Where the vector goes.")]
Pairs: TypeAlias = Annotated[
    Path | None,
    typer.Option(
        "--pairs",
        metavar="FILE.jsonl",
        rich_help_panel=_PAIRS,
        help='Take pairs from a file instead of sampling: {"prompt" or "messages": …, "short": …, "long": …} a line.',
    ),
]
Problems: TypeAlias = Annotated[
    str | None,
    typer.Option(
        "--problems",
        metavar="NAME|FILE.jsonl",
        rich_help_panel=_PAIRS,
        help="Problems to sample thoughts on, and others to try the vector on: an installed set, or lines of "
        "question and answer. Without this option pocket; with --pairs nothing is tried.",
    ),
]
Where: TypeAlias = Annotated[
    At,
    typer.Option(
        "--at",
        rich_help_panel=_PAIRS,
        help="Compare the mean state over the whole thought, or the state at its last token, where it ends.",
    ),
]
Scales: TypeAlias = Annotated[
    list[float] | None,
    typer.Option(
        "--scale", rich_help_panel=_TRIAL, help="A scale to try; repeat it for more. 0, no steering, is always tried."
    ),
]


class Derived(Protocol):
    """The length of the direction by layer, and the mean tokens of the thoughts it leads to and away from."""

    @property
    def norms(self) -> Mapping[int, float]: ...
    @property
    def toward_tokens(self) -> float: ...
    @property
    def away_tokens(self) -> float: ...


@runtime_checkable
class Steerable(Protocol):
    """A backend that makes control vectors, and is opened with `steering_vector` and `steering_scale`."""

    async def derive_vector(self, pairs: Sequence[Pair], to: Path, /, *, at: At, told: Told) -> Derived:
        """Write to `to` what leads from the second thought of each pair to the first; tells how many are done."""
        ...


@dataclass(frozen=True, slots=True)
class Plan:
    """What is asked, and how; `problems` is None where pairs are read and nothing is tried."""

    source: Source
    out: Path
    pairs: Path | None
    problems: str | None
    count: int
    samples: int
    at: At
    scales: Sequence[float]
    tries: int
    temperature: float
    seed: int


def steer_vector(
    out: Out = Path("steering.gguf"),
    pocket: Pocket = False,
    gguf: Gguf = None,
    pairs: Pairs = None,
    problems: Problems = None,
    count: Annotated[
        int, typer.Option("--count", "-n", min=1, rich_help_panel=_PAIRS, help="Problems to sample.")
    ] = 100,
    samples: Annotated[int, typer.Option(min=2, max=64, rich_help_panel=_PAIRS, help="Answers to each of them.")] = 8,
    at: Where = "thought",
    scale: Scales = None,
    tries: Annotated[int, typer.Option("--try", min=0, rich_help_panel=_TRIAL, help="Problems to try it on.")] = 200,
    temperature: Annotated[float, typer.Option(min=0, max=2, help="Sampling temperature.")] = 1.0,
    seed: Annotated[int, typer.Option(help="Which problems, and which thoughts.")] = 0,
) -> None:
    """Find the direction in which a local model thinks shorter, and try how far to push.

    Of the right answers to one problem some take far more thinking than others.
    The model is asked several times; the difference between its hidden states in
    the shortest and in the longest right thought, averaged over problems, becomes
    a control vector, a GGUF file that llama.cpp reads too (efficiency steering,
    arXiv 2506.15647). It is added to what the layers put out, times a scale, and
    tried on problems that had no part in it. Read the table before you use it:
    which sign shortens, and how far is too far, differs from model to model.

    [bold]Examples[/bold]

      forethought steer-vector --at last
      forethought steer-vector short.gguf --gguf model.gguf --problems questions.jsonl --temperature 0.6
      forethought steer-vector short.gguf --gguf model.gguf --pairs pairs.jsonl

    The vector is then an option of the model, as in
    open_backend("llamacpp", model="model.gguf", steering_vector="short.gguf", steering_scale=0.5).
    """
    if not out.parent.is_dir():
        raise typer.BadParameter(f"there is no folder {out.parent}", param_hint="FILE")
    source = choose(pocket=pocket or gguf is None, gguf=gguf, upstream=None)
    asked = problems or (None if pairs else "pocket")
    scales = sorted({0.0, *(SCALES if scale is None else scale)})
    plan = Plan(source, out, pairs, asked, count, samples, at, scales, tries, temperature, seed)
    asyncio.run(_run(plan))


async def _run(plan: Plan) -> None:
    to_sample, to_try = _exams(plan)
    # The statistics are an extra, and take longer to import than all the rest.
    trial: Any = import_module("forethought.cli.steer_vector_trial") if to_try and to_try.problems else None
    if _is_file(plan.problems):
        await answers.load()  # what compares the answers of a file
    page = to_pipe()
    with _bars() as bars:
        async with plan.source.opened() as backend:
            if not isinstance(backend, Steerable):
                raise MissingCapability("steer-vector", plan.source.name, "derive_vector")
            pairs = await _pairs(plan, backend, to_sample, bars)
            told = _bar(bars, "reading states", len(pairs))
            derived = await backend.derive_vector(pairs, plan.out, at=plan.at, told=told)
        page.print(_summary(plan, pairs, derived), soft_wrap=True)
        if to_try is not None and trial is not None:
            page.print("", await _try(plan, to_try, trial, bars), sep="\n")


def _exams(plan: Plan) -> tuple[Exam | None, Exam | None]:
    """Problems to sample on, and others to try on; the rows of a file are parted, other sets have splits."""
    if plan.problems is None:
        return None, None
    if not _is_file(plan.problems):
        to_sample = exam(plan.problems, plan.count, split="train", seed=plan.seed)
        return to_sample, exam(plan.problems, plan.tries, split="test", seed=plan.seed)
    whole = exam(plan.problems, plan.count + plan.tries, seed=plan.seed)
    cut = min(plan.count, (len(whole.problems) + 1) // 2)
    return replace(whole, problems=whole.problems[:cut]), replace(whole, problems=whole.problems[cut:][: plan.tries])


def _is_file(problems: str | None) -> bool:
    return problems is not None and problems.endswith(".jsonl")


async def _pairs(plan: Plan, backend: Backend, asked: Exam | None, bars: Progress) -> Sequence[Pair]:
    """The pairs that are read or sampled, at least one."""
    if plan.pairs is not None or asked is None:
        return read(plan.pairs or Path())
    told = _bar(bars, "sampling thoughts", plan.samples * len(asked.problems))
    found = await sample(backend, asked, plan.samples, temperature=plan.temperature, seed=plan.seed, told=told)
    if not found:
        raise typer.BadParameter(
            f"none of {len(asked.problems)} problems got two right answers that took thoughts of different length; "
            "ask for more with --count and --samples, or for easier ones with --problems"
        )
    return found


async def _try(plan: Plan, asked: Exam, trial: Any, bars: Progress) -> RenderableType:
    """What the vector does to the problems of `asked` at every scale; `trial` is the module that tries it."""
    found: list[Any] = []
    for scale in plan.scales:
        told = _bar(bars, f"trying scale {scale:g}", len(asked.problems))
        found.append(
            await trial.try_scale(
                plan.source, plan.out, scale, asked, temperature=plan.temperature, seed=plan.seed, told=told
            )
        )
    outcome: RenderableType = trial.Outcome(found)
    return outcome


def _summary(plan: Plan, pairs: Sequence[Pair], derived: Derived) -> str:
    short, long = derived.toward_tokens, derived.away_tokens
    lengths = ", ".join(f"{layer}: {norm:.2f}" for layer, norm in derived.norms.items())
    return (
        f"[bold]{escape(str(plan.out))}[/bold]: {len(pairs)} pairs of thoughts, "
        f"{short:.1f} tokens against {long:.1f} on average\nlength of the direction by layer: {lengths}"
    )


def _bars() -> Progress:
    """Progress for people; nothing is shown where they do not watch, and nothing is left of it."""
    people = to_people()
    parts = (TextColumn("{task.description}"), BarColumn(24), MofNCompleteColumn(), TimeElapsedColumn())
    left = (TextColumn("[dim]left[/]"), TimeRemainingColumn())
    return Progress(*parts, *left, console=people, transient=True, disable=not people.is_terminal)


def _bar(bars: Progress, what: str, total: int) -> Told:
    """A bar of `total` steps; what is returned moves it."""
    task = bars.add_task(what, total=total)
    return lambda done: bars.update(task, completed=done)
