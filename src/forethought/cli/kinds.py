"""The reference of policy kinds, read off the code: what each does, its source, and its options with defaults."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Iterator, Mapping
from dataclasses import MISSING, Field, dataclass, fields
from typing import Any

from .. import plugins
from ..policy import JUDGES, LAYERS
from ..ports import IN_CODE
from ..shape.handbook import EMBEDDERS


@dataclass(frozen=True, slots=True)
class Kind:
    """What a policy file may name as `kind`, in `table`: `[[layers]]`, `[layers.judge]` or `[layers.embeddings]`."""

    name: str
    table: str
    summary: str
    contract: str
    options: Mapping[str, str]

    @classmethod
    def of(cls, group: str, name: str) -> Kind:
        made = plugins.load(group, name)
        summary = (inspect.getdoc(sys.modules[made.__module__]) or "").partition("\n")[0]
        options = {f.name: _default(f) for f in fields(made) if f.metadata != IN_CODE}
        return cls(name, _TABLES[group], summary, inspect.getdoc(made) or "", options)

    @property
    def signature(self) -> str:
        """The options with their defaults on one line; sentences by name alone."""
        told = (f"{name} {default}" if len(default) <= _SHORT else name for name, default in self.options.items())
        return ", ".join(map(str.strip, told))


def kinds() -> Iterator[Kind]:
    """Every kind that an installed package ships, layers first."""
    for group in _TABLES:
        for name in plugins.names(group):
            yield Kind.of(group, name)


def markdown() -> str:
    """The reference as a table in Markdown."""
    rows = (f"| `{kind.name}` | {kind.table} | {kind.summary} | {kind.signature} |" for kind in kinds())
    return "\n".join(("| kind | in | what it does | options |", "|---|---|---|---|", *rows))


def _default(option: Field[Any]) -> str:
    """A default as TOML would write it; empty where there is none."""
    value = option.default_factory() if option.default_factory is not MISSING else option.default
    if value is None or value is MISSING:
        return ""
    if isinstance(value, str):
        return f'"{value.encode("unicode_escape").decode()}"'
    return str(getattr(value, "kind", value)).replace("True", "true").replace("False", "false")


_SHORT = 16
_TABLES = {LAYERS: "layers", JUDGES: "judge", EMBEDDERS: "embeddings"}
