"""What can be named is found by entry point: backends, layers, judges, policies, clients."""

from __future__ import annotations

from functools import cache
from importlib.metadata import EntryPoint, entry_points
from typing import Any

from .errors import ForethoughtError
from .ports import Backend


class UnknownPlugin(ForethoughtError):
    """Nothing of this name is installed; `known` lists what is."""

    def __init__(self, group: str, name: str, known: tuple[str, ...]) -> None:
        what = group.rpartition(".")[2].removesuffix("s")
        super().__init__(f"there is no {what} {name!r}; installed are {', '.join(known) or 'none'}")
        self.group = group
        self.name = name
        self.known = known


@cache
def _found(group: str) -> dict[str, EntryPoint]:
    return {point.name: point for point in entry_points(group=group)}


def names(group: str) -> tuple[str, ...]:
    """What is installed in `group`, sorted."""
    return tuple(sorted(_found(group)))


def load(group: str, name: str) -> Any:
    """Import what `name` stands for in `group`; raises UnknownPlugin naming what is there."""
    point = _found(group).get(name)
    if point is None:
        raise UnknownPlugin(group, name, names(group))
    return point.load()


def open_backend(name: str, /, **options: Any) -> Backend:
    """Open the backend `name`: `openai`, `litellm`, `llamacpp`, `pocket`, or what another package installs.

    `options` are those of the backend's own `open_backend`; raises MissingExtra where its package is absent.
    """
    backend: Backend = load("forethought.backends", name)(**options)
    return backend
