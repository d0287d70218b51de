"""Writes a GGUF of about 90 million random parameters: for speed the weights do not matter, for truth they do.

A llama of eight layers. It writes words of one token each that are read back as the same tokens, it thinks for
ever, and it never ends by itself. The same seed writes the same file, once: it is kept in the folder for
temporary files. In F32 a step costs what reading the weights costs, as with a model that is larger than the
caches of the machine; in Q8_0 it costs what llama.cpp's kernels for small batches cost.

    python tests/bench/random_model.py     prints where the file is
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import gguf
import numpy as np

SEED = 7
WIDTH, HEADS, HIDDEN, LAYERS, CONTEXT = 768, 12, 2048, 8, 8192
WORDS = 24_000
SPECIALS = ("<|user|>", "<|assistant|>", "<|end|>", "<think>", "</think>")
TEMPLATE = """\
{%- for message in messages -%}<|{{ message.role }}|>{{ message.content }}<|end|>{%- endfor -%}
<|assistant|><think>"""
VERSION = 1
"""Counts up with every change of what is written."""

_LETTERS = "abcdefghijklmnopqrstuvwxyz"
_BYTES = 256


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
    return "".join(f" {_word(int(index))}" for index in drawn)


def _word(index: int) -> str:
    """Words of four letters each, no two alike: written side by side they can be read in one way only."""
    letters = [_LETTERS[index // 26**place % 26] for place in range(4)]
    return "".join(letters)


def _write(path: Path, kind: gguf.GGMLQuantizationType) -> None:
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_name("random")
    writer.add_vocab_size(_BYTES + WORDS + len(SPECIALS) + 1)
    writer.add_context_length(CONTEXT)
    writer.add_embedding_length(WIDTH)
    writer.add_block_count(LAYERS)
    writer.add_feed_forward_length(HIDDEN)
    writer.add_head_count(HEADS)
    writer.add_head_count_kv(HEADS)
    writer.add_rope_dimension_count(WIDTH // HEADS)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_chat_template(TEMPLATE)
    _write_vocabulary(writer)
    _write_weights(writer, kind, np.random.default_rng(SEED))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def _write_vocabulary(writer: gguf.GGUFWriter) -> None:
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = iter(range(256, 512))
    spelled = [chr(byte if byte in printable else next(others)) for byte in range(_BYTES)]
    space = spelled[ord(" ")]
    pair = (spelled[0xFE], spelled[0xFF])  # a vocabulary without any merge is refused
    tokens = [*spelled, *(space + _word(index) for index in range(WORDS)), "".join(pair), *SPECIALS]
    plain = len(tokens) - len(SPECIALS)
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("llama-bpe")  # it takes a word that is a token as a whole
    writer.add_token_list(tokens)
    writer.add_token_types([gguf.TokenType.NORMAL] * plain + [gguf.TokenType.CONTROL] * len(SPECIALS))
    writer.add_token_merges([" ".join(pair)])
    end = tokens.index("<|end|>")
    writer.add_eos_token_id(end)
    writer.add_bos_token_id(end)
    writer.add_add_bos_token(False)


def _write_weights(writer: gguf.GGUFWriter, kind: gguf.GGMLQuantizationType, random: np.random.Generator) -> None:
    vocabulary = _BYTES + WORDS + len(SPECIALS) + 1

    def add(name: str, values: np.ndarray) -> None:
        writer.add_tensor(f"{name}.weight", gguf.quants.quantize(values.astype(np.float32), kind), raw_dtype=kind)

    def matrix(name: str, rows: int, columns: int) -> None:
        add(name, random.standard_normal((rows, columns), np.float32) / np.sqrt(columns))

    def norm(name: str) -> None:
        writer.add_tensor(f"{name}.weight", np.ones(WIDTH, np.float32))

    matrix("token_embd", vocabulary, WIDTH)
    output = random.standard_normal((vocabulary, WIDTH), np.float32) / 16
    output[:_BYTES] = output[_BYTES + WORDS :] = 0.0  # whatever is no word is never among the likeliest
    add("output", output)
    norm("output_norm")
    for layer in range(LAYERS):
        for name in ("attn_q", "attn_k", "attn_v", "attn_output"):
            matrix(f"blk.{layer}.{name}", WIDTH, WIDTH)
        matrix(f"blk.{layer}.ffn_gate", HIDDEN, WIDTH)
        matrix(f"blk.{layer}.ffn_up", HIDDEN, WIDTH)
        matrix(f"blk.{layer}.ffn_down", WIDTH, HIDDEN)
        norm(f"blk.{layer}.attn_norm")
        norm(f"blk.{layer}.ffn_norm")


if __name__ == "__main__":
    print(random_model())
