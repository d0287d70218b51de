"""Writes a tiny encoder with random weights as GGUF, such as embedding models are: one layer, one token a letter."""

from __future__ import annotations

from pathlib import Path
from string import ascii_lowercase

import gguf
import numpy as np

from .llama_file import finish

WIDTH, HIDDEN, CONTEXT = 32, 64, 128
_SPECIALS = ("[PAD]", "[UNK]", "[CLS]", "[SEP]")
_TOKENS = (*_SPECIALS, *(f"▁{letter}" for letter in ascii_lowercase), *ascii_lowercase)


def write_bert(path: Path, *, pooling: gguf.PoolingType = gguf.PoolingType.MEAN) -> Path:
    """A BERT that reads letters; the same for the same arguments."""
    writer = gguf.GGUFWriter(path, "bert")
    _write_facts(writer, pooling)
    random = np.random.default_rng(11)
    for name, shape in _tensors():
        if len(shape) == 1:
            values = np.ones(shape) if name.endswith("norm.weight") else np.zeros(shape)
        else:
            values = random.standard_normal(shape)
        writer.add_tensor(name, values.astype(np.float32))
    finish(writer)
    return path


def _write_facts(writer: gguf.GGUFWriter, pooling: gguf.PoolingType) -> None:
    writer.add_vocab_size(len(_TOKENS))
    writer.add_context_length(CONTEXT)
    writer.add_embedding_length(WIDTH)
    writer.add_block_count(1)
    writer.add_feed_forward_length(HIDDEN)
    writer.add_head_count(2)
    writer.add_layer_norm_eps(1e-5)
    writer.add_causal_attention(False)
    writer.add_pooling_type(pooling)
    writer.add_tokenizer_model("bert")
    writer.add_tokenizer_pre("default")
    writer.add_token_list(list(_TOKENS))
    kinds = [gguf.TokenType.CONTROL] * len(_SPECIALS) + [gguf.TokenType.NORMAL] * (len(_TOKENS) - len(_SPECIALS))
    writer.add_token_types(kinds)
    writer.add_token_type_count(2)
    writer.add_pad_token_id(0)
    writer.add_unk_token_id(1)
    writer.add_bos_token_id(2)
    writer.add_sep_token_id(3)
    writer.add_eos_token_id(3)


def _tensors() -> list[tuple[str, tuple[int, ...]]]:
    found: list[tuple[str, tuple[int, ...]]] = [
        ("token_embd.weight", (len(_TOKENS), WIDTH)),
        ("token_types.weight", (2, WIDTH)),
        ("position_embd.weight", (CONTEXT, WIDTH)),
    ]
    matrices = {
        **{f"attn_{each}": (WIDTH, WIDTH) for each in ("q", "k", "v", "output")},
        "ffn_up": (HIDDEN, WIDTH),
        "ffn_down": (WIDTH, HIDDEN),
    }
    for name, shape in matrices.items():
        found += [(f"blk.0.{name}.weight", shape), (f"blk.0.{name}.bias", shape[:1])]
    for name in ("token_embd_norm", "blk.0.attn_output_norm", "blk.0.layer_output_norm"):
        found += [(f"{name}.weight", (WIDTH,)), (f"{name}.bias", (WIDTH,))]
    return found
