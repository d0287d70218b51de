"""How a conversation becomes token ids: one byte is one token, plus six specials."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

SPECIALS = ("<|system|>", "<|user|>", "<|assistant|>", "<|end|>", "<think>", "</think>")
"""The special tokens, in the order of their ids."""

MERGED = 256
"""The id of the one merge llama.cpp insists on; no UTF-8 text contains it."""

FIRST_SPECIAL = 257
VOCABULARY = FIRST_SPECIAL + len(SPECIALS)
IDS = {text: FIRST_SPECIAL + place for place, text in enumerate(SPECIALS)}
END = IDS["<|end|>"]
CLOSE = IDS["</think>"]

_SPECIAL = re.compile("|".join(re.escape(text) for text in SPECIALS))


def encode(text: str) -> list[int]:
    """The ids of `text`: its UTF-8 bytes, with each special spelled out as its own token."""
    ids: list[int] = []
    last = 0
    for found in _SPECIAL.finditer(text):
        ids.extend(text[last : found.start()].encode())
        ids.append(IDS[found.group()])
        last = found.end()
    ids.extend(text[last:].encode())
    return ids


def decode(ids: Iterable[int]) -> str:
    """The text of `ids`, specials spelled out; broken UTF-8 becomes U+FFFD."""
    spelled = bytearray()
    for token in ids:
        if token < MERGED:
            spelled.append(token)
        elif token >= FIRST_SPECIAL:
            spelled.extend(SPECIALS[token - FIRST_SPECIAL].encode())
    return spelled.decode(errors="replace")


def prompt(messages: Iterable[Mapping[str, str]], *, thinking: bool = True) -> str:
    """What `chat_template.jinja` renders for `messages`, up to where the assistant begins."""
    turns = "".join(_turn(message) for message in messages)
    return turns + "<|assistant|>" + ("" if thinking else "<think></think>")


def _turn(message: Mapping[str, str]) -> str:
    role, content = message["role"], message["content"]
    if role == "assistant":
        content = content.rpartition("</think>")[2]
    return f"<|{role}|>{content.strip()}<|end|>"
