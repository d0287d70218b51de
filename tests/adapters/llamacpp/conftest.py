"""A tiny model file, and a backend on it."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from tiny import write_tiny

from forethought_adapters.llamacpp import LlamaCpp, open_backend


@pytest.fixture(scope="session")
def model_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random model of two layers."""
    return write_tiny(tmp_path_factory.mktemp("models") / "tiny.gguf")


@pytest.fixture
async def backend(model_file: Path) -> AsyncIterator[LlamaCpp]:
    """The random model, opened with eight sequences at once."""
    async with open_backend(model_file, n_parallel=8, n_threads=1) as opened:
        yield opened
