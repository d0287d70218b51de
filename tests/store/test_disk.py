"""What only a store on disk can get wrong."""

from __future__ import annotations

import asyncio
import pickle
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from forethought.errors import StoreError
from forethought.store.disk import DiskStore

COMMON = """
import asyncio, sys
from forethought.errors import StoreConflict
from forethought.store.disk import DiskStore
"""

ADD = """
async def main():
    async with DiskStore(sys.argv[1]) as store:
        for _ in range(200):
            await store.add("sum", 1)
"""

PUT = """
async def main():
    async with DiskStore(sys.argv[1]) as store:
        for _ in range(50):
            while True:
                value, version = await store.get("list") or ([], 0)
                try:
                    await store.put("list", value + [sys.argv[2]], version=version)
                    break
                except StoreConflict:
                    continue
"""

WRITE_FOREVER = """
async def main():
    async with DiskStore(sys.argv[1]) as store:
        number = 0
        while True:
            number += 1
            await store.put("value", [number] * 100_000)
            print(number, flush=True)
"""


def start(script: str, *arguments: str) -> subprocess.Popen[str]:
    """A process of its own that runs `main` of the script."""
    whole = COMMON + script + "asyncio.run(main())"
    return subprocess.Popen([sys.executable, "-c", whole, *arguments], stdout=subprocess.PIPE, text=True)


async def ended(*children: subprocess.Popen[str]) -> list[int]:
    """The exit codes of the children."""
    for child in children:
        await asyncio.to_thread(child.communicate, timeout=120)
    return [child.returncode for child in children]


def plant(directory: Path, statement: str, *values: object) -> None:
    """Change the database behind the back of the store."""
    database = sqlite3.connect(directory / "cache.db")
    with database:
        database.execute(statement, values)
    database.close()


class Bomb:
    """Makes a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, tuple[object, ...]]:
        return (Path.touch, (self.path,))


@pytest.mark.real
async def test_two_processes_add_up(tmp_path: Path) -> None:
    """Two processes that add one two hundred times each, at once and to a new store, make four hundred."""
    assert await ended(start(ADD, str(tmp_path)), start(ADD, str(tmp_path))) == [0, 0]
    async with DiskStore(tmp_path) as store:
        assert await store.get("sum") == (400, 400)


@pytest.mark.real
async def test_two_processes_that_respect_versions_lose_nothing(tmp_path: Path) -> None:
    """Read, change and put with the version, repeated on conflict: every change is there."""
    assert await ended(start(PUT, str(tmp_path), "a"), start(PUT, str(tmp_path), "b")) == [0, 0]
    async with DiskStore(tmp_path) as store:
        found = await store.get("list")
        assert found is not None
        assert sorted(found[0]) == ["a"] * 50 + ["b"] * 50
        assert found[1] == 100


@pytest.mark.real
async def test_a_process_that_is_killed_leaves_no_half_value(tmp_path: Path) -> None:
    """After SIGKILL in the middle of large writes the last whole value is read, and the store takes new ones."""
    child = start(WRITE_FOREVER, str(tmp_path))
    assert child.stdout is not None
    for _ in range(3):
        await asyncio.to_thread(child.stdout.readline)
    child.kill()
    await ended(child)
    async with DiskStore(tmp_path) as store:
        found = await store.get("value")
        assert found is not None
        value, version = found
        assert value == [version] * 100_000
        assert await store.put("value", "new", version=version) == version + 1


async def test_a_planted_pickle_is_refused_and_not_run(tmp_path: Path) -> None:
    """A row whose mode says pickle raises for every way to reach it."""
    async with DiskStore(tmp_path / "store") as store:
        await store.put("key", 1)
        plant(tmp_path / "store", "UPDATE Cache SET mode = 4, value = ?", pickle.dumps(Bomb(tmp_path / "ran")))
        with pytest.raises(StoreError, match="mode 4"):
            await store.get("key")
        with pytest.raises(StoreError, match="mode 4"):
            await store.add("key", 1)
        with pytest.raises(StoreError, match="mode 4"):
            _ = [row async for row in store.scan("")]
    assert not (tmp_path / "ran").exists()


async def test_a_planted_pickled_key_is_refused_and_not_run(tmp_path: Path) -> None:
    """A key that is not plain text raises when keys are listed."""
    async with DiskStore(tmp_path / "store") as store:
        await store.put("key", 1)
        plant(tmp_path / "store", "UPDATE Cache SET raw = 0, key = ?", pickle.dumps(Bomb(tmp_path / "ran")))
        with pytest.raises(StoreError, match="something else than text"):
            _ = [row async for row in store.scan("")]
    assert not (tmp_path / "ran").exists()


async def test_a_planted_file_name_is_not_followed(tmp_path: Path) -> None:
    """A row that points to a file elsewhere is refused."""
    secret = tmp_path / "secret"
    secret.write_text("[1, 2]")
    async with DiskStore(tmp_path / "store") as store:
        await store.put("key", 1)
        plant(tmp_path / "store", "UPDATE Cache SET mode = 3, filename = ?, value = NULL", str(secret))
        with pytest.raises(StoreError, match="mode 3"):
            await store.get("key")


@pytest.mark.parametrize("text", ["", "[1]", "{}", "nonsense", '["one", 2]'])
async def test_a_row_that_is_no_record_is_an_error(tmp_path: Path, text: str) -> None:
    """What another program has written there is named by its key."""
    async with DiskStore(tmp_path) as store:
        await store.put("key", 1)
        plant(tmp_path, "UPDATE Cache SET value = ?", text)
        with pytest.raises(StoreError, match="'key'"):
            await store.get("key")


async def test_a_damaged_database_is_an_error_with_a_hint(tmp_path: Path) -> None:
    """The error names the directory and says what to do; nothing is deleted."""
    (tmp_path / "cache.db").write_bytes(b"this is not a database" * 1_000)
    store = DiskStore(tmp_path)
    with pytest.raises(StoreError, match="move it away"):
        await store.get("key")
    assert (tmp_path / "cache.db").read_bytes().startswith(b"this is not")


async def test_a_directory_that_cannot_be_made_is_an_error(tmp_path: Path) -> None:
    """A file in the way is named."""
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="file"):
        await DiskStore(tmp_path / "file" / "store").put("key", 1)


async def test_a_key_that_is_no_unicode_is_an_error(tmp_path: Path) -> None:
    """A lone surrogate cannot be stored, and says so."""
    async with DiskStore(tmp_path) as store:
        with pytest.raises(StoreError):
            await store.put("\ud800", 1)


async def test_nothing_is_opened_before_the_first_use(tmp_path: Path) -> None:
    """A store that nobody uses leaves no trace."""
    async with DiskStore(tmp_path / "store"):
        assert not (tmp_path / "store").exists()


@pytest.mark.skipif(sys.platform == "win32", reason="permissions of POSIX")
async def test_a_new_directory_is_its_owners_alone(tmp_path: Path) -> None:
    """What is stored may be private."""
    async with DiskStore(tmp_path / "store") as store:
        await store.put("key", 1)
    assert (tmp_path / "store").stat().st_mode & 0o777 == 0o700


async def test_values_outlive_the_store(tmp_path: Path) -> None:
    """What was put is there when the directory is opened again, by another store or the same."""
    store = DiskStore(tmp_path)
    await store.put("key", "value")
    await store.aclose()
    assert await store.get("key") == ("value", 1)
    await store.aclose()
    async with DiskStore(tmp_path) as other:
        assert await other.get("key") == ("value", 1)


async def test_nothing_is_evicted(tmp_path: Path) -> None:
    """A store is no cache: no setting that a cache has left in the directory makes it forget."""
    async with DiskStore(tmp_path) as store:
        await store.put("0", 0)
    plant(tmp_path, "UPDATE Settings SET value = 1 WHERE key = 'size_limit'")
    async with DiskStore(tmp_path) as store:
        for index in range(1, 20):
            await store.put(str(index), "x" * 10_000)
        assert len([row async for row in store.scan("")]) == 20
