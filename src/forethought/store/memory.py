"""A store that lives as long as the process: for tests, and where nothing has to be kept."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

from .record import Record, added, replaced


class MemoryStore:
    """`forethought.ports.Store` in a dictionary of JSON texts, which a caller's later changes do not reach."""

    def __init__(self) -> None:
        self._rows: dict[str, str] = {}

    async def get(self, key: str, /) -> tuple[Any, int] | None:
        record = self._record(key)
        return None if record is None else (record.value, record.version)

    async def put(self, key: str, value: Any, /, *, version: int | None = None) -> int:
        return self._keep(key, replaced(key, self._record(key), value, version)).version

    async def add(self, key: str, amount: int, /) -> int:
        return int(self._keep(key, added(key, self._record(key), amount)).value)

    async def scan(self, prefix: str, /) -> AsyncIterator[tuple[str, Any, int]]:
        for key in sorted(key for key in self._rows if key.startswith(prefix)):
            record = self._record(key)
            if record is not None:
                yield key, record.value, record.version

    def _record(self, key: str) -> Record | None:
        text = self._rows.get(key)
        return None if text is None else Record.read(key, text)

    def _keep(self, key: str, record: Record) -> Record:
        self._rows[key] = record.text(key)
        return record
