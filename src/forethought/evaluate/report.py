"""What an evaluation found, for people: one table, the differences in sentences, and accuracy by difficulty."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from math import isnan
from pathlib import Path

from rich.box import SIMPLE_HEAD
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from .outcome import Outcome
from .plot import draw
from .statistics import Estimate
from .summary import Contrast, Summary, by_difficulty, contrast, hardest_quarter, summarize

NAME = "bold cyan"


def report(results: Mapping[str, Sequence[Outcome]], *, levels: bool = False) -> RenderableType:
    """The outcomes of each policy, the first of which the others are set against; `levels` adds difficulty."""
    shown = {name: outcomes for name, outcomes in results.items() if outcomes}
    summaries = [summarize(name, outcomes) for name, outcomes in shown.items()]
    parts: list[RenderableType] = [_overview(summaries)]
    if len(shown) > 1:
        parts += ["", *_differences(shown)]
    if levels and shown:
        parts += ["", _by_difficulty(shown)]
    return Group(*parts, *_remarks(summaries))


def picture(results: Mapping[str, Sequence[Outcome]], path: Path) -> None:
    """Draw accuracy against tokens as SVG; raises OSError where the file cannot be written."""
    draw([summarize(name, outcomes) for name, outcomes in results.items() if outcomes], path)


def _overview(summaries: Sequence[Summary]) -> Table:
    table = _table("accuracy", "tokens", "read", "cached", "written", "calls", "seconds", "cost")
    for each in summaries:
        table.add_row(
            Text.assemble((each.policy, NAME), (f"\nn = {each.answered}", "dim")),
            _share(each.accuracy),
            _tokens(each.tokens),
            *(f"{value:,.0f}" for value in (each.fresh, each.cached, each.written.value)),
            f"{each.calls:.1f}",
            f"{each.seconds:.2f}",
            "?" if each.cost is None else f"${each.cost:.4f}" if each.cost else "–",
        )
    return table


def _differences(results: Mapping[str, Sequence[Outcome]]) -> tuple[Table, str, Table]:
    """How each policy differs from the first, as numbers and in words."""
    (base, theirs), *others = results.items()
    numbers = _table("points", "tokens", "computed", "written", first=f"against {base}")
    words = Table.grid(padding=(0, 1))
    for name, ours in others:
        found = contrast(name, ours, base, theirs)
        changes = (found.tokens, found.computed, found.written)
        numbers.add_row(Text(name, NAME), _change(found.accuracy, "{:+.1f}"), *(_change(each) for each in changes))
        words.add_row(
            " •", Text.assemble((name, NAME), f" against {base}, on {found.problems} problems: ", _said(found))
        )
    return numbers, "", words


def _change(found: Estimate, form: str = "{:+.0f} %") -> str:
    scaled = _scaled(found)
    return _above(form.format(scaled.value), _between(scaled, form.removesuffix(" %"), " to "))


def _said(found: Contrast) -> str:
    accuracy = [f"{_more(found.accuracy, 'more', 'less')} accurate"] if found.significant else []
    changes = {"tokens": found.tokens, "computed": found.computed, "written": found.written}
    tokens = [f"{_more(each, 'more', 'fewer')} {name}" for name, each in changes.items() if each.excludes_zero]
    said = ", ".join([*accuracy, *tokens])
    return f"significantly {said}." if said else "no significant difference."


def _more(found: Estimate, more: str, less: str) -> str:
    return more if found.value > 0 else less


def _by_difficulty(results: Mapping[str, Sequence[Outcome]]) -> RenderableType:
    difficulties = [each.difficulty for outcomes in results.values() for each in outcomes]
    known = sorted(set(difficulties))
    if len(known) < 2:
        return Text("The problems do not differ in difficulty.", "dim")
    hardest = hardest_quarter(difficulties)
    table = _table(*map(str, known), f"hardest quarter\n[dim]{hardest} and above[/]", "its tokens")
    for name, outcomes in results.items():
        levels = by_difficulty(outcomes)
        cells = (f"{levels[level].value:.0%}" if level in levels else "" for level in known)
        hard = summarize(name, [each for each in outcomes if each.difficulty >= hardest])
        table.add_row(Text(name, NAME), *cells, _share(hard.accuracy), _tokens(hard.tokens))
    return table


def _remarks(summaries: Sequence[Summary]) -> Iterator[RenderableType]:
    yield Text(
        "Means per answered problem, with 95 % intervals. Tokens are those of all calls; computed are those not read "
        "from a cache. Accuracy differs significantly where McNemar's exact test agrees with the interval.",
        "dim",
    )
    for each in summaries:
        if each.failed:
            yield Text(
                f"{each.policy}: {each.failed} of {each.failed + each.answered} problems failed and count neither as "
                f"right nor as wrong; the first: {each.first_error}",
                "red",
            )


def _table(*columns: str, first: str = "") -> Table:
    table = Table(box=SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, 1, 0, 0))
    table.add_column(Text(first), overflow="fold")
    for name in columns:
        table.add_column(name, justify="right", no_wrap=True)
    return table


def _share(found: Estimate) -> str:
    scaled = _scaled(found)
    return _above(f"{scaled.value:.1f} %", _between(scaled, "{:.1f}"))


def _tokens(found: Estimate) -> str:
    return _above(f"{found.value:,.0f}", _between(found, "{:,.0f}"))


def _scaled(found: Estimate) -> Estimate:
    """A share in percent."""
    return Estimate(100 * found.value, 100 * found.low, 100 * found.high)


def _above(value: str, interval: str) -> str:
    return f"{value}\n[dim]{interval}[/]"


def _between(found: Estimate, form: str, to: str = "–") -> str:
    return "no interval" if isnan(found.low) else f"{form.format(found.low)}{to}{form.format(found.high)}"
