"""The kinds that a policy may name, read off the code: what each does, and what its options are."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Mapping
from dataclasses import MISSING, Field, dataclass, fields
from functools import cache
from typing import Any, get_type_hints

from . import plugins
from .ports import IN_CODE
from .wire import is_array


@dataclass(frozen=True, slots=True)
class Option:
    """An option of a kind: its type as the code has it, and its default, None where there is none."""

    hint: Any
    default: Any = None

    @property
    def nested(self) -> bool:
        """Whether it is itself a table with a kind."""
        return hasattr(self.default, "kind")

    @property
    def written(self) -> str:
        """The default as TOML would write it; a kind by its name, empty where there is none."""
        if self.default is None:
            return ""
        if isinstance(self.default, str):
            return f'"{self.default.encode("unicode_escape").decode()}"'
        if is_array(self.default):
            return str([*self.default])
        return str(getattr(self.default, "kind", self.default)).replace("True", "true").replace("False", "false")


@dataclass(frozen=True, slots=True)
class Kind:
    """What a policy may name in the entry-point group `group`: in one sentence, in full, and by its options."""

    name: str
    group: str
    summary: str
    contract: str
    options: Mapping[str, Option]


@cache
def kind(group: str, name: str) -> Kind:
    """Raises UnknownPlugin where nothing of this name is installed."""
    made = plugins.load(group, name)
    hints = get_type_hints(made)
    options = {each.name: Option(hints[each.name], _default(each)) for each in fields(made) if each.metadata != IN_CODE}
    summary = (inspect.getdoc(sys.modules[made.__module__]) or "").partition("\n")[0]
    return Kind(name, group, summary, inspect.getdoc(made) or "", options)


def _default(option: Field[Any]) -> Any:
    value = option.default_factory() if option.default_factory is not MISSING else option.default
    return None if value is MISSING else value
