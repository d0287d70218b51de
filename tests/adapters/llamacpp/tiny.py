"""Writes a tiny GGUF with random weights: two layers, one token a byte, and special tokens for turns and thinking."""

from __future__ import annotations

from pathlib import Path

import gguf
import numpy as np

SPECIALS = ("<|system|>", "<|user|>", "<|assistant|>", "<|end|>", "<think>", "</think>")
FIRST_SPECIAL = 257
END = FIRST_SPECIAL + SPECIALS.index("<|end|>")
CONTEXT = 512

TEMPLATE = """\
{%- for message in messages -%}
<|{{ message.role }}|>{{ message.content }}<|end|>
{%- endfor -%}
{%- if add_generation_prompt -%}<|assistant|>
{%- if enable_thinking is defined and not enable_thinking -%}<think></think>{%- endif -%}
{%- endif -%}"""

_WIDTH, _HEADS, _HIDDEN, _LAYERS = 32, 2, 64, 2


def write_tiny(
    path: Path,
    *,
    template: str | None = TEMPLATE,
    architecture: str = "llama",
    special: gguf.TokenType = gguf.TokenType.CONTROL,
) -> Path:
    """A model that chatters in printable ASCII and seldom ends; its weights are loud, so ties are rare."""
    writer = gguf.GGUFWriter(path, architecture)
    writer.add_vocab_size(FIRST_SPECIAL + len(SPECIALS))
    writer.add_context_length(CONTEXT)
    writer.add_embedding_length(_WIDTH)
    writer.add_block_count(_LAYERS)
    writer.add_feed_forward_length(_HIDDEN)
    writer.add_head_count(_HEADS)
    writer.add_head_count_kv(_HEADS)
    writer.add_rope_dimension_count(_WIDTH // _HEADS)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_file_type(gguf.LlamaFileType.ALL_F32)
    _write_vocabulary(writer, special)
    if template is not None:
        writer.add_chat_template(template)
    _write_weights(writer, np.random.default_rng(7))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def _write_vocabulary(writer: gguf.GGUFWriter, special: gguf.TokenType) -> None:
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = iter(range(256, 512))
    spelled = [chr(byte if byte in printable else next(others)) for byte in range(256)]
    pair = (spelled[0xFE], spelled[0xFF])
    kinds = [gguf.TokenType.NORMAL] * FIRST_SPECIAL + [special] * len(SPECIALS)
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("gpt-2")
    writer.add_token_list([*spelled, "".join(pair), *SPECIALS])
    writer.add_token_types(kinds)
    writer.add_token_merges([" ".join(pair)])
    writer.add_eos_token_id(END)
    writer.add_bos_token_id(END)
    writer.add_add_bos_token(False)


def _write_weights(writer: gguf.GGUFWriter, random: np.random.Generator) -> None:
    vocabulary = FIRST_SPECIAL + len(SPECIALS)

    def add(name: str, *shape: int, scale: float = 0.5) -> None:
        writer.add_tensor(f"{name}.weight", (random.standard_normal(shape) * scale).astype(np.float32))

    def norm(name: str) -> None:
        writer.add_tensor(f"{name}.weight", np.ones(_WIDTH, np.float32))

    add("token_embd", vocabulary, _WIDTH, scale=1.0)
    printable = np.isin(np.arange(vocabulary), range(32, 127))
    output = random.standard_normal((vocabulary, _WIDTH)) * np.where(printable, 0.5, 0.05)[:, None]
    writer.add_tensor("output.weight", output.astype(np.float32))
    norm("output_norm")
    for layer in range(_LAYERS):
        for name in ("attn_q", "attn_k", "attn_v", "attn_output"):
            add(f"blk.{layer}.{name}", _WIDTH, _WIDTH)
        add(f"blk.{layer}.ffn_gate", _HIDDEN, _WIDTH)
        add(f"blk.{layer}.ffn_up", _HIDDEN, _WIDTH)
        add(f"blk.{layer}.ffn_down", _WIDTH, _HIDDEN)
        norm(f"blk.{layer}.attn_norm")
        norm(f"blk.{layer}.ffn_norm")
