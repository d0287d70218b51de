"""Makes `support` importable and offers a real upstream to every test."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from support.upstream import Upstream


@pytest.fixture
async def upstream() -> AsyncIterator[Upstream]:
    """A real OpenAI-compatible server on 127.0.0.1; tell it what to answer with `upstream.script(...)`."""
    async with Upstream() as server:
        yield server
