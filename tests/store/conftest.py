"""Both stores, so that one suite holds for each of them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from forethought.ports import Store
from forethought.store.disk import DiskStore
from forethought.store.memory import MemoryStore


@pytest.fixture(params=["memory", "disk"])
async def store(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Store]:
    """An empty store."""
    if request.param == "memory":
        yield MemoryStore()
        return
    async with DiskStore(tmp_path / "store") as disk:
        yield disk
