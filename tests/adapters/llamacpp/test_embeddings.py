"""Vectors from a GGUF file in this process."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

import gguf
import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parent))

from tiny import write_tiny

from forethought import Policy
from forethought.errors import InvalidModelFile, InvalidPolicy
from forethought.shape.handbook import Handbook
from forethought.shape.meaning import Meaning
from forethought_adapters.llamacpp.embeddings import LlamaCppEmbeddings
from support.bert_file import CONTEXT, WIDTH, write_bert


@pytest.fixture(scope="module")
def bert(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random encoder that pools by the mean."""
    return write_bert(tmp_path_factory.mktemp("models") / "bert.gguf")


async def vectors(path: Path, *texts: str) -> np.ndarray:
    return np.array(await LlamaCppEmbeddings(path=path).embed(texts))


def cosine(left: np.ndarray, right: np.ndarray) -> float:
    return float(left @ right / np.linalg.norm(left) / np.linalg.norm(right))


async def test_an_encoder(bert: Path) -> None:
    """An embedding model gives a vector for each text: equal ones for equal texts, others for others."""
    rows = await vectors(bert, "roots of it", "a circle", "roots of it")
    assert rows.shape == (3, WIDTH)
    assert np.array_equal(rows[0], rows[2])
    assert cosine(rows[0], rows[1]) < 0.99


async def test_texts_do_not_mix(bert: Path) -> None:
    """What else is asked for makes no difference to a vector."""
    assert np.array_equal((await vectors(bert, "a circle", "roots"))[1], (await vectors(bert, "roots"))[0])


async def test_the_pooling_of_the_model(bert: Path, tmp_path: Path) -> None:
    """A model that pools by its first token is asked to do that."""
    first = write_bert(tmp_path / "first.gguf", pooling=gguf.PoolingType.CLS)
    assert not np.allclose(await vectors(bert, "roots"), await vectors(first, "roots"))


async def test_a_model_that_writes(model_file: Path) -> None:
    """A model that was made to write is pooled by the mean, and texts that begin alike are closer."""
    rows = await vectors(model_file, "count all of the circles", "count all of the roots", "zzz")
    assert cosine(rows[0], rows[1]) > cosine(rows[0], rows[2])


async def test_a_long_text(bert: Path) -> None:
    """A text that is longer than the model reads is read as far as that."""
    rows = await vectors(bert, "a" * 2 * CONTEXT, "a" * 4 * CONTEXT)
    assert np.array_equal(rows[0], rows[1])


@pytest.mark.parametrize("text", ["", "\0", "\ud800", "[SEP]", "<|end|>", "哪一天"])
async def test_any_text(bert: Path, model_file: Path, text: str) -> None:
    """Whatever is to be embedded, finite numbers come back."""
    for path in (bert, model_file):
        assert np.isfinite(await vectors(path, text)).all()


async def test_many_at_once(bert: Path) -> None:
    """Any number may ask at once: one thread touches the model."""
    texts = [chr(ord("a") + number) for number in range(20)]
    found = await asyncio.gather(*(vectors(bert, text) for text in texts))
    assert np.array_equal(np.concatenate(found), await vectors(bert, *texts))


async def test_a_handbook_is_searched(bert: Path) -> None:
    """What is asked in the words of a behavior is closest to it."""
    meaning = Meaning(LlamaCppEmbeddings(path=bert))
    assert (await meaning.closest("read the roots off", ["draw a circle", "read the roots off"], 0.9))[0] == 1


@pytest.mark.parametrize("content", [None, b"", b"GGUF", b"nothing of the kind"])
async def test_no_model(tmp_path: Path, content: bytes | None) -> None:
    """A file that is no model is an error of ours."""
    path = tmp_path / "no.gguf"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(InvalidModelFile):
        await vectors(path, "roots")


async def test_a_model_that_ranks(tmp_path: Path) -> None:
    """A model that ranks pairs of texts gives no vectors, and is refused."""
    with pytest.raises(InvalidModelFile, match="embeddings"):
        await vectors(write_bert(tmp_path / "rank.gguf", pooling=gguf.PoolingType.RANK), "roots")


async def test_from_a_policy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A policy names a file below the working directory, and equals itself through TOML."""
    monkeypatch.chdir(tmp_path)
    write_tiny(tmp_path / "tiny.gguf")
    policy = Policy("p", layers=(Handbook("pocket", embeddings=LlamaCppEmbeddings("tiny.gguf")),))
    assert Policy.from_toml(policy.to_toml()) == policy
    assert len(await LlamaCppEmbeddings("tiny.gguf").embed(["roots"])) == 1


@pytest.mark.parametrize("model", ["../bert.gguf", "/etc/bert.gguf", "bert.bin", "a\0.gguf"])
def test_no_other_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, model: str) -> None:
    """A policy, which a request may bring along, reaches no file outside the working directory."""
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InvalidPolicy, match=r"embeddings\.model"):
        LlamaCppEmbeddings(model)
