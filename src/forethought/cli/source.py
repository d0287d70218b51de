"""Which model is asked: an upstream server, a GGUF file in this process, or the embedded pocket model."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, TypeAlias

import typer

from ..plugins import open_backend
from ..ports import Backend

_PANEL = "Which model"

Pocket: TypeAlias = Annotated[
    bool, typer.Option("--pocket", rich_help_panel=_PANEL, help="The embedded pocket model: no key, no network.")
]
Gguf: TypeAlias = Annotated[
    Path | None,
    typer.Option("--gguf", metavar="FILE", rich_help_panel=_PANEL, help="A GGUF file, run in this process."),
]
Upstream: TypeAlias = Annotated[
    str | None,
    typer.Option(
        "--upstream",
        metavar="URL",
        rich_help_panel=_PANEL,
        help="An OpenAI-compatible server, such as http://127.0.0.1:11434/v1. Its key is read from OPENAI_API_KEY.",
    ),
]


@dataclass(frozen=True, slots=True)
class Source:
    """A backend that is not open yet: its entry point's name, its options, and how to speak of it."""

    name: str
    options: dict[str, Any]
    label: str

    @asynccontextmanager
    async def open(self) -> AsyncIterator[Backend]:
        """The backend; leaving closes its connections or its model."""
        backend = open_backend(self.name, **self.options)
        try:
            yield backend
        finally:
            close = getattr(backend, "aclose", None)
            if close is not None:
                await close()


def choose(*, pocket: bool, gguf: Path | None, upstream: str | None) -> Source:
    """The source that the options name; without any, that of OPENAI_BASE_URL, else the pocket model."""
    if sum((pocket, gguf is not None, upstream is not None)) > 1:
        raise typer.BadParameter("give only one of --pocket, --gguf and --upstream")
    if gguf is not None:
        return Source("llamacpp", {"model": gguf}, f"{gguf.name}, in this process")
    url = upstream or (None if pocket else os.environ.get("OPENAI_BASE_URL"))
    if url:
        return Source("openai", {"base_url": url, "api_key": os.environ.get("OPENAI_API_KEY")}, url)
    return Source("pocket", {}, "the embedded pocket model")
