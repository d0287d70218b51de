"""The pocket model: a tiny trained reasoner for trying and testing Forethought without a key."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

from .tasks import RULES, Problem, is_right, problems

__all__ = ["MODEL_ID", "RULES", "Problem", "handbook_path", "is_right", "model_path", "problems"]

MODEL_ID = "pocket"


def model_path() -> Path:
    """Where the GGUF file of the pocket model lies; its chat template is inside."""
    return Path(str(files(__name__) / "data" / "pocket.gguf"))


def handbook_path() -> Path:
    """Where the behaviors lie that shorten its thoughts."""
    return Path(str(files(__name__) / "data" / "handbook.toml"))
