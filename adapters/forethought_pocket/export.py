"""Writes a checkpoint as GGUF: `python -m forethought_pocket.export pocket.pt pocket.gguf`.

Needs `pip install torch gguf`. The tokenizer is byte-level BPE in which every byte is a token; llama.cpp
demands a list of merges, so it gets one, of two bytes that no UTF-8 text has side by side. The turn markers are
CONTROL tokens; `<think>` and `</think>` are USER_DEFINED, so that they are rendered as text everywhere and
parsed as one token everywhere, which is what thinking-aware clients expect of a model.
"""

# PyTorch is no dependency, so its names have no types here.
# pyright: basic, reportMissingImports=false
# mypy: disable-error-code="import-not-found,misc,untyped-decorator,no-any-return"

from __future__ import annotations

import argparse
from importlib.resources import files
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import torch

from .chat import END, SPECIALS
from .model import Pocket, Shape

CONTEXT = 512
"""The context length that is declared: the model still writes well there, and loses its way at twice that."""


def load(path: Path) -> Pocket:
    """The model of a checkpoint."""
    kept = torch.load(path, map_location="cpu", weights_only=True)
    model = Pocket(Shape(**kept["shape"]))
    model.load_state_dict(kept["model"])
    return model.eval()


def characters() -> list[str]:
    """The printable stand-in of each byte in GPT-2 vocabularies."""
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = iter(range(256, 512))
    return [chr(byte if byte in printable else next(others)) for byte in range(256)]


def tokens() -> tuple[list[str], list[int], str]:
    """The texts and types of all tokens, and the one merge."""
    spelled = characters()
    pair = (spelled[0xFE], spelled[0xFF])
    types: list[int] = [gguf.TokenType.NORMAL] * 257
    for special in SPECIALS:
        visible = special in ("<think>", "</think>")
        types.append(gguf.TokenType.USER_DEFINED if visible else gguf.TokenType.CONTROL)
    return [*spelled, "".join(pair), *SPECIALS], types, " ".join(pair)


def tensors(model: Pocket) -> dict[str, torch.Tensor]:
    """The weights under their GGUF names; no permutation is needed, pairs are rotated as stored."""
    found = {
        "token_embd.weight": model.embedding.weight,
        "output_norm.weight": model.norm.weight,
        "output.weight": model.head.weight,
    }
    for place, layer in enumerate(model.layers):
        for name, weight in _layer(layer).items():
            found[f"blk.{place}.{name}.weight"] = weight
    return found


def _layer(layer: Any) -> dict[str, torch.Tensor]:
    q, k, v = layer.attention.qkv.weight.chunk(3)
    gate, up = layer.feed.up.weight.chunk(2)
    return {
        "attn_norm": layer.attention_norm.weight,
        "attn_q": q,
        "attn_k": k,
        "attn_v": v,
        "attn_output": layer.attention.out.weight,
        "ffn_norm": layer.feed_norm.weight,
        "ffn_gate": gate,
        "ffn_up": up,
        "ffn_down": layer.feed.down.weight,
    }


def write(model: Pocket, out: Path) -> None:
    """Writes the model with its tokenizer and chat template; matrices in half precision."""
    writer = gguf.GGUFWriter(out, "llama")
    _describe(writer, model.shape)
    _spell(writer)
    for name, weight in tensors(model).items():
        kind = np.float32 if weight.dim() == 1 else np.float16
        writer.add_tensor(name, weight.detach().float().numpy().astype(kind))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def _describe(writer: Any, shape: Shape) -> None:
    writer.add_name("Forethought pocket")
    writer.add_description("A toy reasoner on last-digit arithmetic, for trying and testing")
    writer.add_file_type(gguf.LlamaFileType.MOSTLY_F16)
    writer.add_vocab_size(shape.vocabulary)
    writer.add_context_length(CONTEXT)
    writer.add_embedding_length(shape.width)
    writer.add_block_count(shape.layers)
    writer.add_feed_forward_length(shape.hidden)
    writer.add_head_count(shape.heads)
    writer.add_head_count_kv(shape.heads)
    writer.add_rope_dimension_count(shape.head_width)
    writer.add_rope_freq_base(shape.rope_base)
    writer.add_layer_norm_rms_eps(shape.epsilon)


def _spell(writer: Any) -> None:
    texts, types, merge = tokens()
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("gpt-2")
    writer.add_token_list(texts)
    writer.add_token_types(types)
    writer.add_token_merges([merge])
    writer.add_eos_token_id(END)
    writer.add_eot_token_id(END)
    writer.add_bos_token_id(END)
    writer.add_pad_token_id(END)
    writer.add_add_bos_token(False)
    writer.add_add_eos_token(False)
    writer.add_chat_template(template())


def template() -> str:
    """The chat template that ships beside this file."""
    return (files("forethought_pocket") / "data" / "chat_template.jinja").read_text().strip()


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("out", type=Path)
    given = parser.parse_args()
    write(load(given.checkpoint), given.out)


if __name__ == "__main__":
    main()
