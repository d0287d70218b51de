"""What random llamas have in common as GGUF files: their sizes, a vocabulary of bytes, and the names of matrices."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import gguf
import numpy as np

BYTES = 256


@dataclass(frozen=True, slots=True)
class Shape:
    """The sizes of a llama; as many heads for keys as for queries."""

    vocabulary: int
    context: int
    width: int
    heads: int
    hidden: int
    layers: int


def write_shape(writer: gguf.GGUFWriter, shape: Shape) -> None:
    writer.add_vocab_size(shape.vocabulary)
    writer.add_context_length(shape.context)
    writer.add_embedding_length(shape.width)
    writer.add_block_count(shape.layers)
    writer.add_feed_forward_length(shape.hidden)
    writer.add_head_count(shape.heads)
    writer.add_head_count_kv(shape.heads)
    writer.add_rope_dimension_count(shape.width // shape.heads)
    writer.add_layer_norm_rms_eps(1e-5)


def write_vocabulary(
    writer: gguf.GGUFWriter,
    specials: Sequence[str],
    *,
    words: Sequence[str] = (),
    pre: str,
    special: gguf.TokenType = gguf.TokenType.CONTROL,
) -> None:
    """A token a byte, then `words`, a pair of bytes since a vocabulary without any merge is refused, and `specials`.

    Both ends of a text are the special `<|end|>`.
    """
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = iter(range(256, 512))
    spelled = [chr(byte if byte in printable else next(others)) for byte in range(BYTES)]
    pair = (spelled[0xFE], spelled[0xFF])
    spaced = [word.replace(" ", spelled[ord(" ")]) for word in words]
    tokens = [*spelled, *spaced, "".join(pair), *specials]
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre(pre)
    writer.add_token_list(tokens)
    writer.add_token_types([gguf.TokenType.NORMAL] * (len(tokens) - len(specials)) + [special] * len(specials))
    writer.add_token_merges([" ".join(pair)])
    end = tokens.index("<|end|>")
    writer.add_eos_token_id(end)
    writer.add_bos_token_id(end)
    writer.add_add_bos_token(False)


def layers(shape: Shape) -> Iterator[tuple[str, tuple[int, ...]]]:
    """The tensors of every layer, by name, with their numpy shapes; those of one dimension are norms."""
    for layer in range(shape.layers):
        for name in ("attn_q", "attn_k", "attn_v", "attn_output"):
            yield f"blk.{layer}.{name}.weight", (shape.width, shape.width)
        yield f"blk.{layer}.ffn_gate.weight", (shape.hidden, shape.width)
        yield f"blk.{layer}.ffn_up.weight", (shape.hidden, shape.width)
        yield f"blk.{layer}.ffn_down.weight", (shape.width, shape.hidden)
        yield f"blk.{layer}.attn_norm.weight", (shape.width,)
        yield f"blk.{layer}.ffn_norm.weight", (shape.width,)


def write_norm(writer: gguf.GGUFWriter, name: str, width: int) -> None:
    writer.add_tensor(name, np.ones(width, np.float32))


def finish(writer: gguf.GGUFWriter) -> None:
    """Write the file and close it."""
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
