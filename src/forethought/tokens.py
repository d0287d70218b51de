"""Counts tokens exactly where the encoding is at hand, and estimates them cheaply everywhere else.

Encodings are read from the files that litellm ships, without importing litellm and never from the network.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
from collections.abc import Callable, Iterable, Mapping
from functools import cache
from importlib import import_module
from importlib.util import find_spec, module_from_spec
from math import ceil
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias, cast

from .wire import JSON

if TYPE_CHECKING:
    from tiktoken import Encoding

Ranks: TypeAlias = dict[bytes, int]

ATTACHMENT_TOKENS = 1_000
"""What an image, a sound or a file in a message is estimated at, whatever its size."""

MESSAGE_TOKENS = 4
"""What a template adds to each message: its role and its delimiters."""

REPLY_TOKENS = 3
"""What opens the reply."""


def estimate(text: str, chars_per_token: float = 4.0) -> int:
    """About how many tokens `text` has; beyond ASCII a character counts as its UTF-8 bytes."""
    return ceil(_size(text) / chars_per_token)


def estimate_messages(messages: Iterable[JSON], chars_per_token: float = 4.0) -> int:
    """About how many tokens a prompt of chat messages has: text, names, calls, attachments and template."""
    tokens = REPLY_TOKENS
    for message in messages:
        size, attachments = _measure(message)
        tokens += MESSAGE_TOKENS + attachments * ATTACHMENT_TOKENS + ceil(size / chars_per_token)
    return tokens


def count(text: str, model: str = "") -> int:
    """How many tokens `text` has for `model`: exact where `known(model)`, else the estimate.

    The first exact count for an encoding reads its file, which takes about a second; see `load`.
    """
    encoding = _encoding(model)
    return estimate(text) if encoding is None else len(encoding.encode_ordinary(text))


def known(model: str) -> bool:
    """Whether `count` is exact for `model`."""
    name = _encoding_name(model)
    return name is not None and _is_bundled(name)


async def load(model: str) -> bool:
    """Read the encoding of `model` in a thread, so that `count` is fast afterwards; whether there is one."""
    return await asyncio.to_thread(_encoding, model) is not None


def _size(text: str) -> int:
    return len(text) if text.isascii() else len(text.encode("utf-8", "surrogatepass"))


def _measure(message: JSON) -> tuple[int, int]:
    """Characters of text in a message, however nested, and how many attachments it has."""
    size = attachments = 0
    pending: list[object] = [message]
    while pending:
        value = pending.pop()
        if isinstance(value, str):
            size += _size(value)
        elif isinstance(value, Mapping):
            fields = cast("JSON", value)
            if str(fields.get("type")) in _ATTACHMENTS:
                attachments += 1
            else:
                pending.extend(field for name, field in fields.items() if name not in _NOT_SAID)
        elif isinstance(value, list | tuple):
            pending.extend(cast("Iterable[object]", value))
    return size, attachments


def _encoding_name(model: str) -> str | None:
    provider, _, name = model.rpartition("/")
    if provider.rpartition("/")[2] not in _OPENAI_PROVIDERS:
        return None
    try:
        return str(import_module("tiktoken").encoding_name_for_model(name))
    except KeyError:
        return None


def _encoding(model: str) -> Encoding | None:
    name = _encoding_name(model)
    return None if name is None or not _is_bundled(name) else _load(name)


@cache
def _load(name: str) -> Encoding:
    encoding: Encoding = import_module("tiktoken").Encoding(**_parameters(name, _read_ranks))
    return encoding


@cache
def _is_bundled(name: str) -> bool:
    def probe(url: str, expected_hash: str | None = None) -> Ranks:  # noqa: ARG001  tiktoken's signature
        _rank_file(url)
        return {}

    try:
        _parameters(name, probe)
    except FileNotFoundError:
        return False
    return True


def _parameters(name: str, read: Callable[..., Ranks]) -> dict[str, Any]:
    """What defines the encoding `name`, its ranks read by `read(url, expected_hash)`.

    tiktoken's definitions are executed in a private copy of their module, so that ours alone reads local files.
    """
    spec = find_spec("tiktoken_ext.openai_public")
    assert spec is not None  # noqa: S101  tiktoken is a dependency
    assert spec.loader is not None  # noqa: S101
    definitions: Any = module_from_spec(spec)
    spec.loader.exec_module(definitions)
    definitions.load_tiktoken_bpe = read
    definitions.data_gym_to_mergeable_bpe_ranks = _refuse
    return dict(definitions.ENCODING_CONSTRUCTORS[name]())


def _refuse(**files: str) -> Ranks:
    raise FileNotFoundError(f"not bundled: {files}")


def _rank_file(url: str) -> Path:
    """The local copy of the rank file at `url`; raises FileNotFoundError where nothing ships it."""
    package = find_spec("litellm")
    name = hashlib.sha1(url.encode(), usedforsecurity=False).hexdigest()
    for root in (package and package.submodule_search_locations) or ():
        path = Path(root, "litellm_core_utils", "tokenizers", name)
        if path.is_file():
            return path
    raise FileNotFoundError(f"not bundled: {url}")


def _read_ranks(url: str, expected_hash: str | None = None) -> Ranks:
    content = _rank_file(url).read_bytes()
    if expected_hash and hashlib.sha256(content).hexdigest() != expected_hash:
        raise ValueError(f"the bundled copy of {url} is damaged")
    pairs = (line.split() for line in content.splitlines() if line)
    return {base64.b64decode(token): int(rank) for token, rank in pairs}


_OPENAI_PROVIDERS = {"", "openai", "azure", "azure_ai", "github"}
_ATTACHMENTS = frozenset(
    ("image", "image_url", "input_image", "input_audio", "audio", "file", "input_file", "document", "video_url")
)
_NOT_SAID = {"role", "type", "id", "tool_call_id", "cache_control", "signature", "encrypted_content", "audio"}
