"""The command itself."""

from __future__ import annotations

from importlib.metadata import version

import pytest

from .conftest import Forethought


async def test_version(forethought: Forethought) -> None:
    """--version says which version is installed."""
    finished = await forethought("--version")
    assert (finished.code, finished.out) == (0, f"forethought {version('forethought')}\n")


@pytest.mark.parametrize("command", ["demo", "ask", "serve", "policies"])
async def test_help_teaches(forethought: Forethought, command: str) -> None:
    """The help of every command shows it at work."""
    finished = await forethought(command, "--help")
    assert finished.code == 0
    assert f"forethought {command}" in finished.out.partition("Examples")[2]


async def test_nothing_is_help(forethought: Forethought) -> None:
    """Without a command the commands are listed."""
    finished = await forethought()
    assert all(command in finished.out + finished.err for command in ("demo", "ask", "serve", "policies"))


async def test_a_terminal_without_the_letters(forethought: Forethought) -> None:
    """Where the output's encoding lacks a letter, another stands in its place."""
    finished = await forethought("policies", PYTHONIOENCODING="ascii")
    assert finished.code == 0
    assert "balanced" in finished.out
