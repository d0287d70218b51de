"""Writes a GGUF of about 90 million random parameters: for speed the weights do not matter, for truth they do.

A llama of eight layers. It writes words of one token each that are read back as the same tokens, it thinks for
ever, and it never ends by itself. The same seed writes the same file, once: it is kept in the folder for
temporary files. In F32 a step costs what reading the weights costs, as with a model that is larger than the
caches of the machine; in Q8_0 it costs what llama.cpp's kernels for small batches cost.
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import gguf
import numpy as np

from .llama_file import BYTES, Shape, finish, layers, write_norm, write_shape, write_vocabulary

SEED = 7
WORDS = 24_000
SPECIALS = ("<|user|>", "<|assistant|>", "<|end|>", "<think>", "</think>")
SHAPE = Shape(BYTES + WORDS + 1 + len(SPECIALS), context=8192, width=768, heads=12, hidden=2048, layers=8)
TEMPLATE = """\
{%- for message in messages -%}<|{{ message.role }}|>{{ message.content }}<|end|>{%- endfor -%}
<|assistant|><think>"""
VERSION = 1
"""Counts up with every change of what is written."""

_LETTERS = "abcdefghijklmnopqrstuvwxyz"


def random_model(kind: str = "F32") -> Path:
    """The path of the file with matrices of that kind, which is written unless it is there."""
    path = Path(tempfile.gettempdir()) / f"forethought-random-{kind.lower()}-{SEED}-{VERSION}.gguf"
    if not path.exists():
        draft = path.with_suffix(f".{os.getpid()}")
        _write(draft, gguf.GGMLQuantizationType[kind])
        draft.replace(path)
    return path


def words(count: int, *, seed: int = 0) -> str:
    """A text of so many tokens."""
    drawn = np.random.default_rng(seed).integers(WORDS, size=count)
    return "".join(_word(int(index)) for index in drawn)


def _word(index: int) -> str:
    """Words of four letters each, no two alike: written side by side they can be read in one way only."""
    return " " + "".join(_LETTERS[index // 26**place % 26] for place in range(4))


def _write(path: Path, kind: gguf.GGMLQuantizationType) -> None:
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_name("random")
    write_shape(writer, SHAPE)
    writer.add_chat_template(TEMPLATE)
    every = [_word(index) for index in range(WORDS)]
    write_vocabulary(writer, SPECIALS, words=every, pre="llama-bpe")  # it takes a word that is a token as a whole
    _write_weights(writer, kind, np.random.default_rng(SEED))
    finish(writer)


def _write_weights(writer: gguf.GGUFWriter, kind: gguf.GGMLQuantizationType, random: np.random.Generator) -> None:
    def add(name: str, values: np.ndarray) -> None:
        writer.add_tensor(name, gguf.quants.quantize(values.astype(np.float32), kind), raw_dtype=kind)

    def drawn(rows: int, columns: int) -> np.ndarray:
        return random.standard_normal((rows, columns), np.float32)

    add("token_embd.weight", drawn(SHAPE.vocabulary, SHAPE.width) / np.sqrt(SHAPE.width))
    output = drawn(SHAPE.vocabulary, SHAPE.width) / 16
    output[:BYTES] = output[BYTES + WORDS :] = 0.0  # whatever is no word is never among the likeliest
    add("output.weight", output)
    write_norm(writer, "output_norm.weight", SHAPE.width)
    for name, shape in layers(SHAPE):
        if len(shape) == 1:
            write_norm(writer, name, *shape)
        else:
            add(name, drawn(*shape) / np.sqrt(shape[1]))
