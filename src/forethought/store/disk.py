"""A store on disk: SQLite through diskcache, made safe against planted pickles."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any, Self, TypeVar

import diskcache  # type: ignore[import-untyped]  # pyright: ignore[reportMissingTypeStubs]

from ..errors import StoreError
from .record import Record, added, replaced

T = TypeVar("T")

_BATCH = 100
_IN_THE_DATABASE = 2**40


class DiskStore:
    """`forethought.ports.Store` in `directory`, for any number of processes on one machine (not on NFS).

    Nothing is opened before the first use; a directory that does not exist is made, for its owner alone
    (0700). The caller chooses it: below `$XDG_DATA_HOME` is a good place, the shared /tmp is not. Calls run one
    after another in a thread of the store's own. Every write is one transaction: after a crash it is there or
    it is not. Raises StoreError where the database cannot be read or written. Close it with `aclose`, or use it
    as an async context manager; open it after forking, not before.
    """

    def __init__(self, directory: str | Path) -> None:
        self._directory = Path(directory)
        self._cache: Any = None
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="forethought-store")

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *error: object) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Close the database; a store that is used again opens it again."""
        await self._run(self._close)

    async def get(self, key: str, /) -> tuple[Any, int] | None:
        record = await self._run(lambda: self._record(key))
        return None if record is None else (record.value, record.version)

    async def put(self, key: str, value: Any, /, *, version: int | None = None) -> int:
        changed = await self._run(lambda: self._change(key, lambda old: replaced(key, old, value, version)))
        return changed.version

    async def add(self, key: str, amount: int, /) -> int:
        changed = await self._run(lambda: self._change(key, lambda old: added(key, old, amount)))
        return int(changed.value)

    async def scan(self, prefix: str, /) -> AsyncIterator[tuple[str, Any, int]]:
        keys = await self._run(lambda: self._keys(prefix))
        for start in range(0, len(keys), _BATCH):
            for key, record in await self._run(partial(self._records, keys[start : start + _BATCH])):
                yield key, record.value, record.version

    async def _run(self, act: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, self._guarded, act)

    def _guarded(self, act: Callable[[], T]) -> T:
        try:
            return act()
        except (sqlite3.Error, diskcache.Timeout, OSError, UnicodeError) as error:
            hint = "move it away, or choose another directory, if it is damaged or of another program"
            raise StoreError(f"{str(self._directory)!r}: {error or 'locked for too long'}; {hint}") from error

    def _opened(self) -> Any:
        if self._cache is None:
            self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._cache = diskcache.Cache(
                str(self._directory),
                disk=SafeJSONDisk,
                # What is stored here is not a cache: nothing may be evicted to make room.
                eviction_policy="none",
                cull_limit=0,
                # Values in files of their own could be gone between the row and the read.
                disk_min_file_size=_IN_THE_DATABASE,
                # A file truncated under a memory map would kill the process instead of raising.
                sqlite_mmap_size=0,
            )
        return self._cache

    def _close(self) -> None:
        if self._cache is not None:
            self._cache.close()
            self._cache = None

    def _record(self, key: str) -> Record | None:
        text = self._opened().get(key)
        return None if text is None else Record.read(key, text)

    def _records(self, keys: list[str]) -> list[tuple[str, Record]]:
        found = ((key, self._record(key)) for key in keys)
        return [(key, record) for key, record in found if record is not None]

    def _change(self, key: str, change: Callable[[Record | None], Record]) -> Record:
        cache = self._opened()
        with cache.transact():
            changed = change(self._record(key))
            cache.set(key, changed.text(key))
        return changed

    def _keys(self, prefix: str) -> list[str]:
        return [key for key in self._opened().iterkeys() if key.startswith(prefix)]


class SafeJSONDisk(diskcache.Disk):  # type: ignore[misc]
    """Keys and values as text in the row itself; a row that asks for anything else is refused.

    A row of diskcache says how it is to be read, and `pickle` is one of the ways, in its JSONDisk too
    (CVE-2025-69872): who can write the file could run code. Hence both readers are replaced.
    """

    def get(self, key: object, raw: object) -> str:
        if not raw or not isinstance(key, str):
            raise StoreError(f"a key is stored as something else than text: {key!r:.80}")
        return key

    def fetch(self, mode: int, filename: str | None, value: object, read: bool) -> str:
        if mode != diskcache.core.MODE_RAW or filename is not None or read or not isinstance(value, str):
            raise StoreError(f"a value is stored in mode {mode}, which this store neither writes nor reads")
        return value
