"""What an evaluation found, as tables in Markdown: each policy, and how it differs from another."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from math import isnan

from .outcome import Outcome
from .statistics import Estimate
from .summary import Contrast, contrast, summarize

NOTE = (
    "Means per answered problem, with 95 % intervals by the bootstrap. Tokens are those of all calls, probes and "
    "verifications included; computed are those not read from a cache. Changes are against the policy named."
)


def markdown(results: Mapping[str, Sequence[Outcome]]) -> str:
    """The outcomes of each policy, and how it differs from the first."""
    shown = {name: outcomes for name, outcomes in results.items() if outcomes}
    parts = [policies(shown)]
    if len(shown) > 1:
        (base, theirs), *others = shown.items()
        parts.append(contrasts(contrast(name, ours, base, theirs) for name, ours in others))
    return "\n\n".join([*parts, NOTE]) + "\n"


def policies(results: Mapping[str, Sequence[Outcome]]) -> str:
    """A row for each policy: accuracy, and what an answer took."""
    found = [summarize(name, outcomes) for name, outcomes in results.items()]
    head = ("policy", "problems", "failed", "right", "tokens", "computed", "written", "calls", "seconds")
    rows = (
        (
            f"`{each.policy}`",
            str(each.answered),
            str(each.failed or ""),
            share(each.accuracy),
            *(count(tokens) for tokens in (each.tokens, each.computed, each.written)),
            f"{each.calls:.1f}",
            f"{each.seconds:.2f}",
        )
        for each in found
    )
    return table(head, rows)


def contrasts(found: Iterable[Contrast]) -> str:
    """A row for each pair: points of accuracy, and tokens more or less."""
    head = ("policy", "against", "problems", "points", "tokens", "computed", "written")
    return table(head, map(contrast_cells, found))


def contrast_cells(found: Contrast) -> tuple[str, ...]:
    """One pair, as the cells of a row; points are bold where they differ beyond chance."""
    moved = points(found.accuracy)
    return (
        f"`{found.policy}`",
        f"`{found.base}`",
        str(found.problems),
        f"**{moved}**" if found.significant else moved,
        *(change(each) for each in (found.tokens, found.computed, found.written)),
    )


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table in Markdown; what stands in a cell stays in it."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in line)} |" for line in lines)


def share(found: Estimate) -> str:
    """A share in percent."""
    return _with_interval(found, "{:.1f}", 100, " %")


def count(found: Estimate) -> str:
    """A number of tokens."""
    return _with_interval(found, "{:,.0f}")


def points(found: Estimate) -> str:
    """A difference of shares, in percentage points."""
    return _with_interval(found, "{:+.1f}", 100)


def change(found: Estimate) -> str:
    """How much more or less, in percent."""
    return _with_interval(found, "{:+.0f}", 100, " %")


def _with_interval(found: Estimate, form: str, scale: float = 1, unit: str = "") -> str:
    if isnan(found.value):
        return ""
    value = form.format(scale * found.value) + unit
    if isnan(found.low):
        return value
    return f"{value} ({form.format(scale * found.low)} to {form.format(scale * found.high)})"
