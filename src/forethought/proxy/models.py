"""The models that a caller can name: those of the upstream, and each of them under every policy."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from pydantic_core import from_json

from ..errors import UpstreamProtocol
from ..ports import Backend
from .upstream import Relaying

FRESH_S = 30.0
"""Seconds for which the upstream's list is not asked for again."""


class Models:
    """The list of models over `backend`; `ids` names them where the upstream cannot."""

    def __init__(self, backend: Backend, policies: Iterable[str], ids: Sequence[str] | None) -> None:
        self._backend = backend
        self._policies = tuple(policies)
        self._ids = ids
        self._known: Mapping[str, Mapping[str, Any]] = {}
        self._until = 0.0

    async def all(self, backend: Backend) -> Mapping[str, Mapping[str, Any]]:
        """Every model by its id; raises UpstreamError. What one caller's key may see is not kept for another."""
        if backend is not self._backend:
            return await self._listed(backend)
        if time.monotonic() >= self._until:
            self._known = await self._listed(backend)
            self._until = time.monotonic() + FRESH_S
        return self._known

    async def _listed(self, backend: Backend) -> Mapping[str, Mapping[str, Any]]:
        own = {model["id"]: model for model in await self._own(backend)}
        names = [f"{policy}/{model}" for policy in self._policies for model in own]
        return {**own, **{name: _entry(name, "forethought") for name in names}}

    async def _own(self, backend: Backend) -> list[Mapping[str, Any]]:
        if self._ids is not None or not isinstance(backend, Relaying):
            names = self._ids if self._ids is not None else [backend.capabilities.name]
            return [_entry(name, backend.capabilities.name) for name in names]
        try:
            listed = from_json(await backend.get("/models"))["data"]
            return [{**_entry(str(model["id"]), backend.capabilities.name), **model} for model in listed]
        except (ValueError, TypeError, KeyError) as error:
            raise UpstreamProtocol(f"/models is not a list of models: {error}") from error


def _entry(id: str, owner: str) -> dict[str, Any]:  # noqa: A002
    return {"id": id, "object": "model", "created": 0, "owned_by": owner}
