"""Hidden states as llama.cpp has them are those that the formulas of the architecture give."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import gguf
import numpy as np
import pytest
from numpy.typing import NDArray
from tiny import write_tiny

from forethought.errors import InvalidRequest
from forethought_adapters.llamacpp import Options
from forethought_adapters.llamacpp.hidden import CHUNK, Hidden

Floats = NDArray[np.float64]
LAYERS, HEADS = 4, 2
CLOSE = 1e-4


@pytest.fixture(scope="module")
def deep(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random model of four layers."""
    return write_tiny(tmp_path_factory.mktemp("models") / "deep.gguf", depth=LAYERS)


@pytest.fixture
def hidden(deep: Path) -> Iterator[Hidden]:
    """The random model, opened to be read."""
    opened = Hidden(Options(path=deep, name="deep", n_threads=1))
    yield opened
    opened.close()


class Formulas:
    """A LLaMA in numpy: normed attention with rotated pairs, then a gated network, each added to what stands."""

    def __init__(self, path: Path) -> None:
        self._weights = {each.name: np.array(each.data, np.float64) for each in gguf.GGUFReader(path).tensors}

    def states(self, tokens: Sequence[int]) -> Floats:
        """What every layer but the first puts out, (layers - 1, tokens, width)."""
        x = self._weights["token_embd.weight"][list(tokens)]
        outputs: list[Floats] = []
        for layer in range(LAYERS):
            w = {name.split(".")[2]: each for name, each in self._weights.items() if name.startswith(f"blk.{layer}.")}
            x = x + _attention(_normed(x), w)
            n = _normed(x)
            gate = n @ w["ffn_gate"].T
            x = x + (gate / (1 + np.exp(-gate)) * (n @ w["ffn_up"].T)) @ w["ffn_down"].T
            outputs.append(x)
        return np.stack(outputs[1:])


def _normed(x: Floats) -> Floats:
    normed: Floats = x / np.sqrt(np.mean(x**2, axis=-1, keepdims=True) + 1e-5)
    return normed


def _rotated(x: Floats) -> Floats:
    """Each pair of neighbours turned by an angle that grows with the position: (tokens, heads, width of a head)."""
    size = x.shape[-1]
    angles = np.arange(len(x))[:, None] * 10000.0 ** (-np.arange(0, size, 2) / size)
    turned = (x[..., ::2] + 1j * x[..., 1::2]) * np.exp(1j * angles)[:, None]
    return np.stack([turned.real, turned.imag], axis=-1).reshape(x.shape)


def _attention(x: Floats, w: dict[str, Floats]) -> Floats:
    q, k, v = ((x @ w[f"attn_{name}"].T).reshape(len(x), HEADS, -1) for name in "qkv")
    scores = np.einsum("thd,shd->hts", _rotated(q), _rotated(k)) / np.sqrt(q.shape[-1])
    scores = np.where(np.tril(np.ones((len(x), len(x)), bool)), scores, -np.inf)
    shares = np.exp(scores - scores.max(axis=-1, keepdims=True))
    shares /= shares.sum(axis=-1, keepdims=True)
    mixed = np.einsum("hts,shd->thd", shares, v).reshape(len(x), -1)
    return mixed @ w["attn_output"].T


def some_tokens(count: int) -> list[int]:
    return np.random.default_rng(count).integers(32, 127, count).tolist()


@pytest.mark.parametrize("count", [1, 5, CHUNK, CHUNK + 1, 2 * CHUNK + 20])
def test_states_are_those_of_the_formulas(hidden: Hidden, deep: Path, count: int) -> None:
    """In every layer, and over several batches, the mean state is what the formulas give."""
    tokens = some_tokens(count)
    expected = Formulas(deep).states(tokens).mean(axis=1)
    assert hidden.mean(tokens, 0) == pytest.approx(expected, rel=CLOSE, abs=CLOSE)


@pytest.mark.parametrize("start", [0, 3, CHUNK - 1, CHUNK, CHUNK + 6])
def test_the_mean_begins_where_told(hidden: Hidden, deep: Path, start: int) -> None:
    """Tokens before the start are read and not counted, wherever a batch ends."""
    tokens = some_tokens(CHUNK + 7)
    expected = Formulas(deep).states(tokens)[:, start:].mean(axis=1)
    assert hidden.mean(tokens, start) == pytest.approx(expected, rel=CLOSE, abs=CLOSE)


def test_texts_do_not_see_each_other(hidden: Hidden) -> None:
    """A text read after another gives what it gives alone."""
    alone = hidden.mean(some_tokens(9), 2)
    hidden.mean(some_tokens(70), 0)
    assert np.array_equal(hidden.mean(some_tokens(9), 2), alone)


@pytest.mark.parametrize(("count", "start"), [(0, 0), (4, 4), (4, 9), (600, 0)])
def test_a_text_fits_and_holds_something(hidden: Hidden, count: int, start: int) -> None:
    """No thought at all, and a text longer than the context, are refused."""
    with pytest.raises(InvalidRequest, match="with its prompt a thought may have 512 tokens"):
        hidden.mean(some_tokens(count), start)
