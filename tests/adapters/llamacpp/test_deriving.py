"""A control vector is derived from pairs of thoughts."""

from __future__ import annotations

import asyncio
from pathlib import Path

import numpy as np
import pytest

from forethought.errors import InvalidRequest
from forethought.fold import complete
from forethought.wire import Prefix, Request
from forethought_adapters.llamacpp import LlamaCpp, Options, open_backend
from forethought_adapters.llamacpp.control import read
from forethought_adapters.llamacpp.deriving import Derived, Pair
from forethought_adapters.llamacpp.hidden import Hidden


def pair(question: str, toward: str, away: str) -> Pair:
    asked = Request.of(question)
    ours, theirs = (Request(asked.messages, prefix=Prefix(thought)) for thought in (toward, away))
    return ours, theirs


PAIRS = [pair("2+2?", "four", "well, let me see, four"), pair("1+1?", "2", "hm")]


async def derive(backend: LlamaCpp, to: Path, *pairs: Pair, last: bool = False) -> Derived:
    told: list[int] = []
    derived = await backend.derive_vector(pairs, to, at="last" if last else "thought", told=told.append)
    assert told == list(range(1, len(pairs) + 1))
    return derived


def direction(path: Path) -> np.ndarray:
    return read(path).directions[1]


async def test_the_direction_is_the_mean_difference(backend: LlamaCpp, model_file: Path, tmp_path: Path) -> None:
    """What is written is the mean over pairs of the difference between the mean states of their thoughts."""
    await derive(backend, tmp_path / "v.gguf", *PAIRS)
    hidden = Hidden(Options(path=model_file, name="tiny", n_threads=1))

    def state(question: str, thought: str) -> np.ndarray:
        head, whole = (
            hidden.model.tokenize(f"<|user|>{question}<|end|><|assistant|><think>{text}") for text in ("", thought)
        )
        return hidden.mean(whole, len(head))[0]

    four = state("2+2?", "four") - state("2+2?", "well, let me see, four")
    two = state("1+1?", "2") - state("1+1?", "hm")
    hidden.close()
    assert direction(tmp_path / "v.gguf") == pytest.approx((four + two) / 2, rel=1e-5, abs=1e-5)


async def test_lengths_are_told(backend: LlamaCpp, tmp_path: Path) -> None:
    """What is told: the mean tokens of both kinds of thought, and how long the direction is in each layer."""
    derived = await derive(backend, tmp_path / "v.gguf", *PAIRS)
    assert (derived.toward_tokens, derived.away_tokens) == (2.5, 12.0)
    assert derived.norms == {1: pytest.approx(np.linalg.norm(direction(tmp_path / "v.gguf")))}


async def test_the_other_way_round(backend: LlamaCpp, tmp_path: Path) -> None:
    """Exchanging the thoughts of every pair turns the direction round."""
    await derive(backend, tmp_path / "there.gguf", *PAIRS)
    await derive(backend, tmp_path / "back.gguf", *((away, toward) for toward, away in PAIRS))
    assert np.array_equal(direction(tmp_path / "there.gguf"), -direction(tmp_path / "back.gguf"))


async def test_last_tokens(backend: LlamaCpp, tmp_path: Path) -> None:
    """With `last` only the last token of a thought counts: of thoughts of one token it is the whole thought."""
    await derive(backend, tmp_path / "thought.gguf", PAIRS[0])
    await derive(backend, tmp_path / "last.gguf", PAIRS[0], last=True)
    assert not np.allclose(direction(tmp_path / "thought.gguf"), direction(tmp_path / "last.gguf"))
    single = pair("1+1?", "2", "3")
    await derive(backend, tmp_path / "whole.gguf", single)
    await derive(backend, tmp_path / "end.gguf", single, last=True)
    assert np.array_equal(direction(tmp_path / "whole.gguf"), direction(tmp_path / "end.gguf"))


async def test_the_vector_steers_the_model_it_came_from(backend: LlamaCpp, model_file: Path, tmp_path: Path) -> None:
    """The file can be given back as `steering_vector`, and is felt."""
    await derive(backend, tmp_path / "v.gguf", *PAIRS)
    asked = Request.of("2+2?", temperature=0, max_tokens=12, logprobs=True)
    plain = await complete(backend, asked)
    async with open_backend(model_file, n_threads=1, steering_vector=tmp_path / "v.gguf") as steered:
        assert (await complete(steered, asked)).logprobs != plain.logprobs


async def test_a_steered_backend_derives_unsteered(backend: LlamaCpp, model_file: Path, tmp_path: Path) -> None:
    """A vector that is in use does not get into the one that is derived."""
    await derive(backend, tmp_path / "v.gguf", *PAIRS)
    async with open_backend(model_file, n_threads=1, steering_vector=tmp_path / "v.gguf") as steered:
        await derive(steered, tmp_path / "again.gguf", *PAIRS)
    assert (tmp_path / "again.gguf").read_bytes() == (tmp_path / "v.gguf").read_bytes()


@pytest.mark.parametrize("thought", ["", "x" * 600])
async def test_a_thought_fits_and_says_something(backend: LlamaCpp, tmp_path: Path, thought: str) -> None:
    """An empty thought, or one longer than the context, is refused, and no file is left."""
    with pytest.raises(InvalidRequest, match="a thought may have 512 tokens, and has at least one"):
        await derive(backend, tmp_path / "v.gguf", pair("2+2?", "four", thought))
    assert not (tmp_path / "v.gguf").exists()


async def test_giving_up(backend: LlamaCpp, tmp_path: Path) -> None:
    """Cancelled, it stops after the pair it is at, and writes nothing."""
    loop, begun, told = asyncio.get_running_loop(), asyncio.Event(), list[int]()

    def tell(done: int) -> None:
        told.append(done)
        loop.call_soon_threadsafe(begun.set)

    work = asyncio.create_task(backend.derive_vector(PAIRS * 2000, tmp_path / "v.gguf", at="thought", told=tell))
    async with asyncio.timeout(30):
        await begun.wait()
    work.cancel()
    with pytest.raises(asyncio.CancelledError):
        await work
    await loop.shutdown_default_executor()
    assert len(told) < 4000
    assert not (tmp_path / "v.gguf").exists()
