"""The network: a LLaMA-architecture decoder in plain PyTorch, rotary pairs interleaved as GGUF has them."""

# PyTorch is no dependency, so its names have no types here.
# pyright: basic, reportMissingImports=false
# mypy: disable-error-code="import-not-found,misc,untyped-decorator,no-any-return"

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import nn
from torch.nn import functional

from .chat import VOCABULARY


@dataclass(frozen=True, slots=True)
class Shape:
    """The sizes of the network; about 1.1 million parameters as it stands."""

    vocabulary: int = VOCABULARY
    width: int = 128
    layers: int = 5
    heads: int = 4
    hidden: int = 352
    context: int = 1024
    rope_base: float = 10000.0
    epsilon: float = 1e-5

    @property
    def head_width(self) -> int:
        """The width of one attention head."""
        return self.width // self.heads

    def as_dict(self) -> dict[str, Any]:
        """The shape as a checkpoint keeps it."""
        return asdict(self)


def rotations(shape: Shape) -> tuple[torch.Tensor, torch.Tensor]:
    """Cosines and sines, one row a position and one column a rotated pair."""
    exponents = torch.arange(0, shape.head_width, 2) / shape.head_width
    angles = torch.outer(torch.arange(shape.context), shape.rope_base**-exponents)
    return angles.cos(), angles.sin()


def rotate(x: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor) -> torch.Tensor:
    """Turns neighbouring pairs of the last dimension by their position's angle."""
    even, odd = x[..., 0::2], x[..., 1::2]
    return torch.stack((even * cos - odd * sin, even * sin + odd * cos), -1).flatten(-2)


def causal(x: torch.Tensor) -> torch.Tensor:
    """Minus infinity wherever a position would see a later one."""
    length = x.shape[1]
    return torch.full((length, length), float("-inf"), device=x.device).triu(1)


def attend(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """Softmax attention spelled out: on a CPU its backward pass beats the fused one."""
    scores = q @ k.transpose(-1, -2) * q.shape[-1] ** -0.5
    return (scores + mask.to(scores.dtype)).softmax(-1) @ v


class Attention(nn.Module):
    """Causal self-attention; with a cache it takes rows of different lengths."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.shape = shape
        self.qkv = nn.Linear(shape.width, 3 * shape.width, bias=False)
        self.out = nn.Linear(shape.width, shape.width, bias=False)

    def forward(self, x: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor) -> torch.Tensor:
        """Whole rows from position zero."""
        q, k, v = self.split(x)
        return self.join(attend(rotate(q, cos, sin), rotate(k, cos, sin), v, causal(x)))

    def split(self, x: torch.Tensor) -> Any:
        """Queries, keys and values, each (rows, heads, positions, head width)."""
        rows, length, _ = x.shape
        qkv = self.qkv(x).view(rows, length, 3, self.shape.heads, self.shape.head_width)
        return qkv.permute(2, 0, 3, 1, 4).unbind(0)

    def join(self, mixed: torch.Tensor) -> torch.Tensor:
        """The heads side by side again."""
        return self.out(mixed.transpose(1, 2).flatten(2))


class Feed(nn.Module):
    """The gated feed-forward half of a layer."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.up = nn.Linear(shape.width, 2 * shape.hidden, bias=False)
        self.down = nn.Linear(shape.hidden, shape.width, bias=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        gate, up = self.up(x).chunk(2, -1)
        return self.down(functional.silu(gate) * up)


class Layer(nn.Module):
    """Attention, then feed-forward, each on a normalised copy."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.attention_norm = nn.RMSNorm(shape.width, eps=shape.epsilon)
        self.attention = Attention(shape)
        self.feed_norm = nn.RMSNorm(shape.width, eps=shape.epsilon)
        self.feed = Feed(shape)

    def forward(self, x: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor) -> torch.Tensor:
        x = x + self.attention(self.attention_norm(x), cos, sin)
        return x + self.feed(self.feed_norm(x))


class Pocket(nn.Module):
    """The whole network, from ids (rows, positions) to logits."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.shape = shape
        self.embedding = nn.Embedding(shape.vocabulary, shape.width)
        self.layers = nn.ModuleList(Layer(shape) for _ in range(shape.layers))
        self.norm = nn.RMSNorm(shape.width, eps=shape.epsilon)
        self.head = nn.Linear(shape.width, shape.vocabulary, bias=False)
        cos, sin = rotations(shape)
        self.register_buffer("cos", cos, persistent=False)
        self.register_buffer("sin", sin, persistent=False)
        self.apply(_begin)

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        """Logits for every position of whole rows."""
        return self.head(self.states(ids))

    def states(self, ids: torch.Tensor) -> torch.Tensor:
        """The last layer's normalised states of whole rows."""
        x = self.embedding(ids)
        cos, sin = self.cos[: ids.shape[1]].to(x), self.sin[: ids.shape[1]].to(x)
        for layer in self.layers:
            x = layer(x, cos, sin)
        return self.norm(x)


def _begin(module: nn.Module) -> None:
    if isinstance(module, nn.Linear | nn.Embedding):
        nn.init.normal_(module.weight, std=0.02 if isinstance(module, nn.Embedding) else 0.06)
