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


def open_backend(model: str | Path, **options: Any) -> LlamaCpp:
    """A backend over the GGUF file at `model`, which is not read yet; `options` are those of `Options`.

    Raises MissingExtra without llama-cpp-python, and TypeError or ValueError for an option that is not one.
    """
    if not all(find_spec(name) for name in ("llama_cpp", "numpy", "jinja2")):
        raise MissingExtra("llama-cpp-python", "local")
    path = Path(model).expanduser()
    given: dict[str, Any] = {"path": path, "name": path.stem, **options}
    if given.get("reasoning_tags"):
        given["reasoning_tags"] = Tags(*given["reasoning_tags"])
    return LlamaCpp(Options(**given))
