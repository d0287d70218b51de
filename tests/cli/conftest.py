"""Runs the installed command as people do: in a process of its own."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TypeAlias

import pytest

COMMAND = str(Path(sys.executable).with_name("forethought"))


@dataclass(frozen=True, slots=True)
class Finished:
    """How a command ended and what it said."""

    code: int
    out: str
    err: str


Forethought: TypeAlias = Callable[..., Awaitable[Finished]]


def environment(home: Path, **changes: str) -> dict[str, str]:
    """An environment of one's own: no key, no terminal, a width that is always the same."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("OPENAI_", "FORCE_COLOR"))}
    return {**kept, "HOME": str(home), "COLUMNS": "100", **changes}


@pytest.fixture
def forethought(tmp_path: Path) -> Forethought:
    """The command; `stdin` is piped in, other keywords are environment variables."""

    async def run(*arguments: str, stdin: str = "", **changes: str) -> Finished:
        process = await asyncio.create_subprocess_exec(
            COMMAND,
            *arguments,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env=environment(tmp_path, **changes),
            cwd=tmp_path,
        )
        async with asyncio.timeout(120):
            out, err = await process.communicate(stdin.encode())
        return Finished(process.returncode or 0, out.decode(), err.decode())

    return run


@pytest.fixture
def local_engine() -> None:
    """Skips where the in-process engine is not installed."""
    if find_spec("llama_cpp") is None:
        pytest.skip("llama-cpp-python is not installed")
