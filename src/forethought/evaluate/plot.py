"""Accuracy against tokens as SVG: a point a policy, with both 95 % intervals, readable on light and on dark."""

from __future__ import annotations

import re
from collections.abc import Sequence
from importlib import import_module
from io import StringIO
from itertools import cycle
from pathlib import Path
from typing import Any

from ..errors import MissingExtra
from .statistics import Estimate
from .summary import Summary

try:
    mpl: Any = import_module("matplotlib")  # its own types are half unknown
    figures: Any = import_module("matplotlib.figure")
    tickers: Any = import_module("matplotlib.ticker")
except ModuleNotFoundError as missing:
    raise MissingExtra(missing.name or "matplotlib", "evaluate") from missing

INK = "#123456"
"""Stands for the colour of text until the drawing is done: SVG knows `currentColor`, matplotlib does not."""

STYLE = "<style>svg{color:#1f2328}@media(prefers-color-scheme:dark){svg{color:#e6edf3}}</style>"

SETTINGS: dict[str, Any] = {
    "svg.fonttype": "none",
    "svg.hashsalt": "forethought",
    "text.color": INK,
    "axes.edgecolor": INK,
    "axes.labelcolor": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
}
COLOURS = ("#2f81f7", "#d29922", "#2da44e", "#cf5fb3", "#e5534b", "#1b9e9e", "#8b72e0", "#b87333")
MARKERS = "osD^v"
"""As many as have nothing in common with the number of colours, so that pairs repeat late."""


def draw(summaries: Sequence[Summary], path: Path) -> None:
    """Write the picture to `path`; the same summaries give the same bytes. Raises OSError."""
    with mpl.rc_context(SETTINGS):
        figure = figures.Figure(figsize=(7.5, 4.5), layout="constrained")
        _fill(figure.add_subplot(), summaries)
        written = StringIO()
        figure.savefig(written, format="svg", transparent=True, metadata={"Date": None})
    drawn = written.getvalue().replace(INK, "currentColor")
    path.write_text(re.sub(r"(<svg\b[^>]*>)", rf"\1{STYLE}", drawn, count=1), encoding="utf-8")


def _fill(axes: Any, summaries: Sequence[Summary]) -> None:
    drawn = [each for each in summaries if each.answered]
    for each, marker, colour in zip(drawn, cycle(MARKERS), cycle(COLOURS), strict=False):
        axes.errorbar(
            each.tokens.value,
            100 * each.accuracy.value,
            xerr=_reach(each.tokens, 1),
            yerr=_reach(each.accuracy, 100),
            fmt=marker,
            color=colour,
            capsize=3,
            label=each.policy,
        )
    axes.set_xlabel("tokens per problem, read and written, all calls")
    axes.set_ylabel("accuracy, %; bars are 95 % intervals")
    tokens = [each.tokens.value for each in drawn]
    if tokens and max(tokens) > 10 * min(tokens) > 0:
        axes.set_xscale("log", subs=[])
        axes.xaxis.set_major_locator(tickers.LogLocator(subs=(1, 2, 5)))
    axes.xaxis.set_major_formatter("{x:,.0f}")
    axes.grid(visible=True, alpha=0.2)
    if drawn:
        axes.legend(loc="center left", bbox_to_anchor=(1, 0.5), frameon=False)


def _reach(found: Estimate, scale: float) -> list[list[float]] | None:
    """How far the interval reaches down and up, as matplotlib wants it; None where there is none."""
    if not found.low <= found.high:
        return None
    return [[scale * max(0.0, found.value - found.low)], [scale * max(0.0, found.high - found.value)]]
