"""Writes many completions at once with PyTorch; the scorer's engine."""

# PyTorch is no dependency, so its names have no types here.
# pyright: basic, reportMissingImports=false
# mypy: disable-error-code="import-not-found,misc,untyped-decorator,no-any-return"

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch

from .chat import END, decode, encode
from .model import Pocket, attend, causal, rotate

WIDTH = 256
"""How many rows are written at once."""


@dataclass(frozen=True, slots=True)
class Sampled:
    """What was written after a prompt, without the end token, and how likely each token was."""

    text: str
    logprobs: tuple[float, ...]
    finished: bool

    @property
    def tokens(self) -> int:
        """How many tokens were written, the end token among them."""
        return len(self.logprobs)

    @property
    def thought(self) -> str:
        """What stands before `</think>`."""
        return self.text.partition("</think>")[0].removeprefix("<think>")

    @property
    def answer(self) -> str:
        """What stands after `</think>`."""
        return self.text.partition("</think>")[2]


class Cache:
    """Keys and values of rows of different lengths."""

    def __init__(self, model: Pocket, rows: int, room: int) -> None:
        shape = model.shape
        size = (shape.layers, rows, shape.heads, room, shape.head_width)
        self.keys, self.values = torch.zeros(size), torch.zeros(size)
        self.rows = torch.arange(rows)

    def put(self, layer: int, places: torch.Tensor, k: torch.Tensor, v: torch.Tensor) -> None:
        """Stores one position of every row."""
        self.keys[layer, self.rows, :, places] = k[:, :, 0]
        self.values[layer, self.rows, :, places] = v[:, :, 0]


def _read(model: Pocket, ids: torch.Tensor, cache: Cache) -> torch.Tensor:
    """Takes padded prompts in; returns the states of all positions."""
    x = model.embedding(ids)
    length = ids.shape[1]
    cos, sin = model.cos[:length], model.sin[:length]
    for place, layer in enumerate(model.layers):
        q, k, v = layer.attention.split(layer.attention_norm(x))
        k = rotate(k, cos, sin)
        cache.keys[place, :, :, :length], cache.values[place, :, :, :length] = k, v
        x = x + layer.attention.join(attend(rotate(q, cos, sin), k, v, causal(x)))
        x = x + layer.feed(layer.feed_norm(x))
    return model.norm(x)


def _advance(model: Pocket, ids: torch.Tensor, places: torch.Tensor, cache: Cache, room: int) -> torch.Tensor:
    """Takes one token of every row in; returns the logits after it."""
    x = model.embedding(ids[:, None])
    cos, sin = model.cos[places][:, None, None], model.sin[places][:, None, None]
    hidden = torch.arange(room)[None] > places[:, None]
    mask = torch.zeros(len(ids), room).masked_fill(hidden, float("-inf"))[:, None, None]
    for place, layer in enumerate(model.layers):
        q, k, v = layer.attention.split(layer.attention_norm(x))
        cache.put(place, places, rotate(k, cos, sin), v)
        keys, values = cache.keys[place, :, :, :room], cache.values[place, :, :, :room]
        x = x + layer.attention.join(attend(rotate(q, cos, sin), keys, values, mask))
        x = x + layer.feed(layer.feed_norm(x))
    return model.head(model.norm(x))[:, 0]


def complete(
    model: Pocket,
    prompts: Sequence[str],
    *,
    temperature: float = 0.0,
    limit: int = 400,
    seed: int = 0,
) -> list[Sampled]:
    """One completion for each prompt, in order; at temperature 0 the likeliest token each time."""
    generator = torch.Generator().manual_seed(seed)
    order = sorted(range(len(prompts)), key=lambda place: len(prompts[place]))
    found: dict[int, Sampled] = {}
    for start in range(0, len(order), WIDTH):
        group = order[start : start + WIDTH]
        written = _batch(model, [prompts[place] for place in group], temperature, limit, generator)
        found.update(zip(group, written, strict=True))
    return [found[place] for place in range(len(prompts))]


@torch.inference_mode()
def _batch(model: Pocket, prompts: list[str], temperature: float, limit: int, generator: Any) -> list[Sampled]:
    rows = [encode(prompt) for prompt in prompts]
    places = torch.tensor([len(row) for row in rows])
    longest = int(places.max())
    limit = min(limit, model.shape.context - longest)
    ids = torch.tensor([row + [0] * (longest - len(row)) for row in rows])
    cache = Cache(model, len(rows), longest + limit)
    states = _read(model, ids, cache)
    logits = model.head(states[torch.arange(len(rows)), places - 1])
    written: list[torch.Tensor] = []
    chances: list[torch.Tensor] = []
    alive = torch.ones(len(rows), dtype=torch.bool)
    for step in range(limit):
        token = _pick(logits, temperature, generator)
        written.append(token)
        chances.append(logits.log_softmax(-1).gather(1, token[:, None])[:, 0])
        alive &= token != END
        if not alive.any() or step == limit - 1:
            break
        logits = _advance(model, token, places, cache, longest + step + 1)
        places = places + 1
    return _gathered(torch.stack(written, 1).tolist(), torch.stack(chances, 1).tolist())


def _pick(logits: torch.Tensor, temperature: float, generator: Any) -> torch.Tensor:
    if not temperature:
        return logits.argmax(-1)
    odds = (logits / temperature).softmax(-1)
    return torch.multinomial(odds, 1, generator=generator)[:, 0]


def _gathered(rows: list[list[int]], chances: list[list[float]]) -> list[Sampled]:
    found: list[Sampled] = []
    for row, chance in zip(rows, chances, strict=True):
        finished = END in row
        end = row.index(END) if finished else len(row)
        found.append(Sampled(decode(row[:end]), tuple(chance[: end + finished]), finished))
    return found
