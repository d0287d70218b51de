"""Every backend, one after another."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from support.backends import CASES, Case


@pytest.fixture(params=list(CASES))
async def case(request: pytest.FixtureRequest) -> AsyncIterator[Case]:
    async with CASES[request.param]() as made:
        yield made
