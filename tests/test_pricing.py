"""What a token costs."""

from __future__ import annotations

import json
import subprocess
import sys
from decimal import Decimal
from importlib.util import find_spec

import pytest
from hypothesis import given
from hypothesis import strategies as st

from forethought.context import Price, Usage
from forethought.pricing import Prices

listed = pytest.mark.skipif(find_spec("litellm") is None, reason="needs the table that litellm ships")


@listed
def test_a_listed_model_has_its_exact_price() -> None:
    """Prices are decimals as printed in the table, with the price of cached tokens."""
    assert Prices().of("gpt-4o") == Price(Decimal("0.0000025"), Decimal("0.00001"), Decimal("0.00000125"))


@listed
def test_a_million_tokens_cost_what_the_list_says() -> None:
    """No cent is lost to binary fractions."""
    price = Prices().of("gpt-4o")
    assert price is not None
    assert price.of(Usage(prompt_tokens=1_000_000, completion_tokens=1_000_000)) == Decimal("12.5")


@listed
def test_a_name_may_carry_its_provider() -> None:
    """`openai/gpt-4o` is `gpt-4o`; another provider's model of that name is not."""
    prices = Prices()
    assert prices.of("openai/gpt-4o") == prices.of("gpt-4o")
    assert prices.of("somebody/gpt-4o") is None


@listed
def test_an_unlisted_date_has_the_price_that_all_versions_share() -> None:
    """A new snapshot of a model with one price is that price."""
    prices = Prices()
    assert prices.of("claude-opus-4-5-20991231") == prices.of("claude-opus-4-5") != None  # noqa: E711


@listed
def test_an_unlisted_date_of_a_model_whose_price_changed_is_unknown() -> None:
    """gpt-4o has had two prices, so a snapshot that is not listed has none."""
    prices = Prices()
    assert prices.of("gpt-4o-2024-05-13") != prices.of("gpt-4o")
    assert prices.of("gpt-4o-2099-12-31") is None


@given(st.text())
def test_an_unknown_model_has_no_price(model: str) -> None:
    """Unknown is None, never 0."""
    assert Prices().of(f"no such model: {model}") is None


@pytest.mark.parametrize("model", ["", "sample_spec"])
def test_what_is_no_model_has_no_price(model: str) -> None:
    """The empty name and the table's own header are unknown."""
    assert Prices().of(model) is None


def test_the_caller_can_set_a_price() -> None:
    """An override wins over the table, and knows models that nobody lists."""
    mine = Price(Decimal("0.1"), Decimal("0.2"))
    prices = Prices({"my-model": mine, "gpt-4o": mine})
    assert prices.of("my-model") == prices.of("gpt-4o") == mine


async def test_the_table_can_be_loaded_ahead() -> None:
    """Loading ahead changes no price."""
    prices = Prices()
    await prices.load()
    assert prices.of("no such model") is None


@listed
def test_prices_do_not_import_litellm() -> None:
    """The table is read as data."""
    script = "import json, sys; from forethought.pricing import Prices; "
    script += "print(json.dumps([Prices().of('gpt-4o') is not None, 'litellm' in sys.modules]))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=True)
    assert json.loads(done.stdout) == [True, False]


def test_without_litellm_only_overrides_have_a_price() -> None:
    """In a process where litellm cannot be found, a listed model is unknown."""
    script = """
import sys
sys.modules["litellm"] = None
from forethought.pricing import Prices
from forethought.context import FREE
from forethought import tokens
print(Prices().of("gpt-4o"), Prices({"m": FREE}).of("m") == FREE, tokens.known("gpt-4o"))
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.split() == ["None", "True", "False"]
