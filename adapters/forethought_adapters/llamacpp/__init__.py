"""A GGUF file in this process, on llama.cpp: many thoughts decoded together, what they share evaluated once."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import Any

from forethought.errors import MissingExtra
from forethought.thinking import Tags

from .backend import LlamaCpp
from .options import Options
from .state import Facts, Occupancy

__all__ = ["Facts", "LlamaCpp", "Occupancy", "Options", "open_backend"]

_NEEDED = {"llama-cpp-python": "llama_cpp", "numpy": "numpy", "jinja2": "jinja2", "gguf": "gguf"}


def open_backend(model: str | Path, **options: Any) -> LlamaCpp:
    """A backend over the GGUF file at `model`, which is not read yet; `options` are those of `Options`.

    Raises MissingExtra where a package of the extra `local` is missing, and TypeError or ValueError for an option that
    is not one.
    """
    for package, module in _NEEDED.items():
        if find_spec(module) is None:
            raise MissingExtra(package, "local")
    path = Path(model).expanduser()
    given: dict[str, Any] = {"path": path, "name": path.stem, **options}
    if given.get("reasoning_tags"):
        given["reasoning_tags"] = Tags(*given["reasoning_tags"])
    if given.get("steering_vector"):
        given["steering_vector"] = Path(given["steering_vector"]).expanduser()
    return LlamaCpp(Options(**given))
