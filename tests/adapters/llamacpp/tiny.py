"""Writes a tiny GGUF with random weights: two layers, one token a byte, and special tokens for turns and thinking."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import gguf
import numpy as np

from support.llama_file import BYTES, Shape, finish, layers, write_norm, write_shape, write_vocabulary

SPECIALS = ("<|system|>", "<|user|>", "<|assistant|>", "<|end|>", "<think>", "</think>")
FIRST_SPECIAL = BYTES + 1
CONTEXT = 512

TEMPLATE = """\
{%- for message in messages -%}
<|{{ message.role }}|>{{ message.content }}<|end|>
{%- endfor -%}
{%- if add_generation_prompt -%}<|assistant|>
{%- if enable_thinking is defined and not enable_thinking -%}<think></think>{%- endif -%}
{%- endif -%}"""

_SHAPE = Shape(FIRST_SPECIAL + len(SPECIALS), CONTEXT, width=32, heads=2, hidden=64, layers=2)


def write_tiny(
    path: Path,
    *,
    template: str | None = TEMPLATE,
    architecture: str = "llama",
    special: gguf.TokenType = gguf.TokenType.CONTROL,
    depth: int = 2,
) -> Path:
    """A model that chatters in printable ASCII and seldom ends; its weights are loud, so ties are rare."""
    shape = replace(_SHAPE, layers=depth)
    writer = gguf.GGUFWriter(path, architecture)
    write_shape(writer, shape)
    writer.add_file_type(gguf.LlamaFileType.ALL_F32)
    write_vocabulary(writer, SPECIALS, pre="gpt-2", special=special)
    if template is not None:
        writer.add_chat_template(template)
    _write_weights(writer, np.random.default_rng(7), shape)
    finish(writer)
    return path


def _write_weights(writer: gguf.GGUFWriter, random: np.random.Generator, shape: Shape) -> None:
    def add(name: str, sizes: tuple[int, ...], scale: float = 0.5) -> None:
        writer.add_tensor(name, (random.standard_normal(sizes) * scale).astype(np.float32))

    rows = (shape.vocabulary, shape.width)
    add("token_embd.weight", rows, scale=1.0)
    printable = np.isin(np.arange(shape.vocabulary), range(32, 127))
    output = random.standard_normal(rows) * np.where(printable, 0.5, 0.05)[:, None]
    writer.add_tensor("output.weight", output.astype(np.float32))
    write_norm(writer, "output_norm.weight", shape.width)
    for name, sizes in layers(shape):
        if len(sizes) == 1:
            write_norm(writer, name, *sizes)
        else:
            add(name, sizes)
