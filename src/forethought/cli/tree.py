"""The record of a run, drawn as a tree: who was asked, when, at what cost, and why each branch ended."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import count
from typing import Any

from rich.console import Console, ConsoleOptions, RenderResult
from rich.text import Text
from rich.tree import Tree

from ..search.hearing import JUDGE
from ..trace import RunNode

NAME_WIDTH = 28
NUMBERS_WIDTH = 21
WHY_WIDTH = 19
INDENT = 4
"""How far `rich.tree.Tree` moves each level to the right."""

_COLOURS = {"stop": "green", "decided": "green", "cancelled": "yellow", "closed": "yellow", "error": "red"}


@dataclass(frozen=True, slots=True)
class RunTree:
    """The whole run under `root`; a bar on each line says when in the run the node was busy."""

    root: RunNode

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        free = options.max_width - NAME_WIDTH - NUMBERS_WIDTH - WHY_WIDTH - 2
        bar = max(0, min(32, free))
        tree = Tree(_line(self.root, Text(self.root.name, style="bold"), 0, bar), guide_style="dim")
        _grow(tree, self.root, 1, bar)
        yield tree


def _grow(tree: Tree, node: RunNode, depth: int, bar: int) -> None:
    answers = _answers(node)
    winner = _facts(node, "decided").get("text")
    places = count()
    for child in node.children:
        answer = None if child.name == JUDGE else answers.get(next(places))
        shown = _only_call(child)
        name = _named(shown) if answer is None else _answered(answer, won=answer == winner)
        _grow(tree.add(_line(shown, name, depth, bar)), shown, depth + 1, bar)


def _only_call(node: RunNode) -> RunNode:
    """A layer that did nothing but ask once is drawn as what it asked."""
    while len(node.children) == 1 and not node.decisions:
        node = node.children[0]
    return node


def _named(node: RunNode) -> Text:
    if node.operation == "chat":
        return Text(_short(node.name), style="dim")
    votes: Mapping[str, int] = _facts(node, "decided").get("votes", {})
    tally = " ".join(f"{_short(answer, 12)}×{times}" for answer, times in votes.items())
    return Text.assemble((node.name, "bold cyan"), "  " if tally else "", tally)


def _answered(answer: str, *, won: bool) -> Text:
    return Text(f"{_short(answer)} ✔" if won else _short(answer) or "no answer", style="bold green" if won else "")


def _line(node: RunNode, name: Text, depth: int, bar: int) -> Text:
    name.truncate(NAME_WIDTH - depth * INDENT, overflow="ellipsis", pad=True)
    colour = _COLOURS.get(node.end_reason, "blue")
    line = Text(no_wrap=True, overflow="ellipsis")
    line.append_text(name).append(" ").append_text(_busy(node, bar, colour))
    line.append(f"{node.usage.completion_tokens:>6} tok{node.duration_s or 0:>7.2f} s  ")
    return line.append(_why(node), colour)


def _busy(node: RunNode, width: int, colour: str) -> Text:
    """When the node was busy, on the time line of the whole run; at least one cell."""
    now = node.run.elapsed()
    root = node.run.root
    whole = (root.ended or now) or 1.0
    start = max(0, min(width - 1, int(node.started / whole * width)))
    end = min(width, round((now if node.ended is None else node.ended) / whole * width))
    length = min(width, max(1, end - start))
    return Text.assemble(" " * start, ("━" * length, colour), " " * (width - start - length))


def _why(node: RunNode) -> str:
    if node.error_type:
        return node.error_type
    facts = _facts(node, "decided")
    spared = facts.get("samples_saved")
    how = _DECIDED.get(str(facts.get("decided_by", "")), "")
    parts = [how or node.end_reason, f"{spared} spared" if spared else ""]
    return ", ".join(part for part in parts if part)


_DECIDED = {"confidence": "confident", "certain": "certain", "all": "all voted"}


def _answers(node: RunNode) -> dict[int, str]:
    """What each branch answered, by its place in the fan-out, as the search noted it."""
    noted = (decision.facts for decision in node.decisions if decision.what == "candidate")
    return {int(facts["branch"]): str(facts.get("text", "")) for facts in noted if "branch" in facts}


def _facts(node: RunNode, what: str) -> Mapping[str, Any]:
    """The facts of the last decision of this kind, or none."""
    none: Mapping[str, Any] = {}
    return next((decision.facts for decision in reversed(node.decisions) if decision.what == what), none)


def _short(text: str, width: int = 24) -> str:
    line = " ".join(text.split())
    return line if len(line) <= width else line[: width - 1] + "…"
