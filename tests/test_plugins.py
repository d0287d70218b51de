"""Entry points."""

from __future__ import annotations

import pytest

from forethought import plugins
from forethought.search.vote import Vote


def test_load() -> None:
    """A name loads what the entry point says."""
    assert plugins.load("forethought.layers", "vote") is Vote


def test_unknown() -> None:
    """An unknown name is refused with the names that are installed."""
    with pytest.raises(plugins.UnknownPlugin, match=r"no layer 'vot'; installed are .*vote"):
        plugins.load("forethought.layers", "vot")
