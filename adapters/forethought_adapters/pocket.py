"""The pocket model as a backend: the embedded default, with no key and no network."""

from __future__ import annotations

from typing import Any

from forethought_pocket import MODEL_ID, model_path

from .llamacpp import LlamaCpp
from .llamacpp import open_backend as open_file

_DEFAULTS = {
    "name": MODEL_ID,
    "chars_per_token": 1.0,
    "n_threads": 1,  # so small a model gains nothing from a second one
    "n_parked": 256,  # and reads a thought again faster than it attends to many old ones
}


def open_backend(**options: Any) -> LlamaCpp:
    """The pocket model; `options` as for `llamacpp`. Raises MissingExtra without llama-cpp-python."""
    return open_file(model_path(), **{**_DEFAULTS, **options})
