"""The reference of policy kinds: what a policy file may name in which table, with its options and defaults."""

from __future__ import annotations

from collections.abc import Iterator

from .. import plugins
from ..kinds import Kind, kind
from ..policy import JUDGES, LAYERS
from ..shape.handbook import EMBEDDERS


def kinds() -> Iterator[Kind]:
    """Every kind that an installed package ships, layers first."""
    for group in _TABLES:
        for name in plugins.names(group):
            yield kind(group, name)


def table_of(kind: Kind) -> str:
    """The table of a policy file that names it: `[[layers]]`, `[layers.judge]` or `[layers.embeddings]`."""
    return _TABLES[kind.group]


def signature(kind: Kind) -> str:
    """The options with their defaults on one line; sentences by name alone."""
    written = {name: option.written for name, option in kind.options.items()}
    told = (f"{name} {default}" if len(default) <= _SHORT else name for name, default in written.items())
    return ", ".join(map(str.strip, told))


def markdown() -> str:
    """The reference as a table in Markdown."""
    rows = (f"| `{kind.name}` | {table_of(kind)} | {kind.summary} | {signature(kind)} |" for kind in kinds())
    return "\n".join(("| kind | in | what it does | options |", "|---|---|---|---|", *rows))


_SHORT = 16
_TABLES = {LAYERS: "layers", JUDGES: "judge", EMBEDDERS: "embeddings"}
