"""Offers both kinds of client to the tests of wrapping."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from support.sdk import Sdk
from support.upstream import Upstream


@pytest.fixture(params=["async", "blocking"])
async def sdk(request: pytest.FixtureRequest, upstream: Upstream) -> AsyncIterator[Sdk]:
    """A client of the upstream, of each kind in turn."""
    made = Sdk(request.param == "blocking", upstream.base_url)
    async with made.exits:
        yield made
