"""Silences llama.cpp's log and keeps its first error, for the message of our own."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from functools import cache
from typing import Any

_llama: Any = importlib.import_module("llama_cpp")

_ERROR_LEVEL = 4

_lines: list[str] = []


class Log:
    """Starts the library, once; from here on `reason` is the first error that it complains of."""

    def __init__(self, verbose: bool) -> None:
        _start_library()
        _lines.clear()
        if not verbose:
            _llama.llama_log_set(_silent(), None)

    @property
    def reason(self) -> str:
        return f": {_lines[0]}" if _lines else ""


@cache
def _start_library() -> None:
    _llama.llama_backend_init()


@cache
def _silent() -> Callable[..., None]:
    """The log callback; cached because native code keeps a pointer to it for ever."""

    def keep_first_error(level: int, text: bytes, _data: object) -> None:
        if level == _ERROR_LEVEL and not _lines:
            _lines.append(text.decode("utf-8", "replace").strip())

    callback: Callable[..., None] = _llama.llama_log_callback(keep_first_error)
    return callback
