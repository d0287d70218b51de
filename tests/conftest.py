"""Makes `support` importable and offers a real upstream to every test."""

from __future__ import annotations

import os
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
# llama.cpp would start a debugger on a process that ends while its threads do, and that writes to stderr.
os.environ.setdefault("GGML_NO_BACKTRACE", "1")

from support.upstream import Upstream


@pytest.fixture
async def upstream() -> AsyncIterator[Upstream]:
    """A real OpenAI-compatible server on 127.0.0.1; tell it what to answer with `upstream.script(...)`."""
    async with Upstream() as server:
        yield server
