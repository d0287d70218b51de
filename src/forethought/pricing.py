"""What a token costs: litellm's table of models, read as data and exactly, and the caller's own prices."""

from __future__ import annotations

import asyncio
import json
import re
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from .context import Price

_TABLE = "model_prices_and_context_window_backup.json"


@dataclass(frozen=True, slots=True)
class Prices:
    """Prices per model: `overrides` first, then litellm's table where litellm is installed.

    The table is read once per process, at the first question (about 0.1 s; see `load`). Prices are the list
    prices of the standard tier; surcharges for long prompts and batch discounts are not in them.
    """

    overrides: Mapping[str, Price] = field(default_factory=dict[str, Price])

    def of(self, model: str) -> Price | None:
        """The price of `model`, or None where it is unknown; never a price of 0 for want of a better.

        A name may carry its provider (`openai/gpt-5`) or not. A dated name that is not listed, or an undated
        one that is listed with dates only, has the price that all listed versions share, if they share one.
        """
        if model in self.overrides:
            return self.overrides[model]
        listed = _listed()
        return listed.exact.get(model) or listed.version_of(model)

    async def load(self) -> None:
        """Read the table in a thread, so that `of` is fast afterwards."""
        await asyncio.to_thread(_listed)


@dataclass(frozen=True, slots=True)
class _Table:
    exact: dict[str, Price]
    versions: dict[str, set[Price]]

    def version_of(self, model: str) -> Price | None:
        shared = self.versions.get(_undated(model), set[Price]())
        return next(iter(shared)) if len(shared) == 1 else None


@cache
def _listed() -> _Table:
    exact: dict[str, Price] = {}
    versions: dict[str, set[Price]] = defaultdict(set)
    for model, entry in _entries().items():
        price = _price(entry)
        if price is None or model == "sample_spec":
            continue
        qualified = f"{entry.get('litellm_provider')}/{model}"
        exact[model] = price
        exact.setdefault(qualified, price)
        for name in (model, qualified, model.rpartition("/")[2]):
            versions[_undated(name)].add(price)
    return _Table(exact, dict(versions))


def _entries() -> dict[str, Any]:
    package = find_spec("litellm")
    for root in (package and package.submodule_search_locations) or ():
        path = Path(root, _TABLE)
        if path.is_file():
            return dict(json.loads(path.read_bytes(), parse_float=Decimal))
    return {}


def _price(entry: Mapping[str, Any]) -> Price | None:
    prompt, completion = entry.get("input_cost_per_token"), entry.get("output_cost_per_token")
    if not isinstance(prompt, int | Decimal) or not isinstance(completion, int | Decimal):
        return None
    cached = entry.get("cache_read_input_token_cost")
    return Price(Decimal(prompt), Decimal(completion), Decimal(cached) if isinstance(cached, int | Decimal) else None)


def _undated(model: str) -> str:
    return _DATE.sub("", model)


_DATE = re.compile(r"[-@](?:20\d{6}|20\d\d-\d\d-\d\d)$")
