"""Which model is asked: an upstream server, a GGUF file in this process, or the embedded pocket model."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import typer

from ..plugins import open_backend
from ..ports import Backend


@runtime_checkable
class Loading(Protocol):
    """A backend that can load its model before it is asked."""

    async def load(self) -> object: ...


@dataclass(frozen=True, slots=True)
class Source:
    """A backend that is not open yet: its entry point's name, its options, and how to speak of it.

    `model` is its only model, None where a server has its own list.
    """

    name: str
    options: dict[str, Any]
    label: str
    model: str | None = None

    def open(self) -> Backend:
        return open_backend(self.name, **self.options)

    def loaded(self) -> Backend:
        """The backend with its model in memory, so that a file that cannot be used is told of now."""
        backend = self.open()
        if isinstance(backend, Loading):
            asyncio.run(_load(backend))
        return backend

    def steered(self, vector: Path | None, scale: float) -> Source:
        """The same with a control vector added `scale` times; only a model in this process takes one."""
        if vector is None:
            return self
        if self.name == "openai":
            raise typer.BadParameter("a --steering-vector needs a model in this process: give --pocket or --gguf")
        options = {**self.options, "steering_vector": vector, "steering_scale": scale}
        return replace(self, options=options, label=f"{self.label}, steered")

    @asynccontextmanager
    async def opened(self) -> AsyncIterator[Backend]:
        """The backend; leaving closes its connections or its model."""
        backend = self.open()
        try:
            yield backend
        finally:
            close = getattr(backend, "aclose", None)
            if close is not None:
                await close()


async def _load(backend: Loading) -> None:
    await backend.load()


POCKET = Source("pocket", {}, "the embedded pocket model", "pocket")


def choose(*, pocket: bool, gguf: Path | None, upstream: str | None) -> Source:
    """The source that the options name; without any, that of OPENAI_BASE_URL, else the pocket model."""
    if sum((pocket, gguf is not None, upstream is not None)) > 1:
        raise typer.BadParameter("give only one of --pocket, --gguf and --upstream")
    if gguf is not None:
        return Source("llamacpp", {"model": gguf}, f"{gguf.name}, in this process", gguf.stem)
    url = upstream or (None if pocket else os.environ.get("OPENAI_BASE_URL"))
    if url:
        return Source("openai", {"base_url": url, "api_key": os.environ.get("OPENAI_API_KEY")}, url)
    return POCKET
