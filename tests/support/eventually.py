"""Waiting for something that another task or server brings about."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

STEP_S = 0.005


async def eventually(true: Callable[[], bool], within_s: float = 10.0) -> None:
    """Wait until `true()`; fails where it is not within that time."""
    for _ in range(int(within_s / STEP_S)):
        if true():
            return
        await asyncio.sleep(STEP_S)
    raise AssertionError(f"still not so after {within_s} s")
