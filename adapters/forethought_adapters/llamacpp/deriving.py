"""Derives a control vector that leads from one kind of thought to another.

Efficiency steering (arXiv 2506.15647, "Exploring and Exploiting the Inherent Efficiency"): of several right answers to
one problem the shortest is often less than half as long as the longest. The direction is the mean hidden state of the
short ones minus that of the long ones, and it is added to the hidden states, times a scale.

Ours: the mean is taken over the tokens of the thought, not of prompt or answer, or of its last token alone, where it is
decided that the thought ends; each pair gives one difference, so that long thoughts weigh no more than short ones; the
mean over pairs is not normalised, so that a scale of 1 moves a layer as far as the two kinds lie apart; every layer
that can be steered has its own direction, which is added where it was measured, to the output of that layer.

Which sign shortens is for a trial to say. A mean state also tells how far a thought has come, and a model that stops
once it has come far enough is led to stop by a negative scale.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import count
from pathlib import Path
from statistics import fmean
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from forethought.errors import EngineStopped
from forethought.wire import Prefix, Request

from .control import ControlVector, write
from .hidden import Hidden
from .options import Options
from .sequence import common
from .template import ChatTemplate
from .worker import template_of

Pair: TypeAlias = tuple[Request, Request]
"""The same question twice, each with a thought as its `prefix`: one to lead to, one to lead away from."""

At: TypeAlias = Literal["thought", "last"]
"""Which states are compared: the mean over the thought, or that of its last token."""


@dataclass(frozen=True, slots=True)
class Derived:
    """The length of the direction by layer, and the mean number of tokens of both kinds of thought."""

    norms: Mapping[int, float]
    toward_tokens: float
    away_tokens: float


def derive(
    options: Options, pairs: Sequence[Pair], to: Path, *, at: At, told: Callable[[int], None], stop: threading.Event
) -> Derived:
    """Write the direction of `pairs`, at least one, to the file `to`. Blocks.

    `told` hears how many pairs are done; once `stop` is set it gives up, with EngineStopped. Raises
    InvalidModelFile where the model cannot be read, InvalidRequest for a thought empty or too long, and OSError.
    """
    hidden = Hidden(options)
    try:
        reader = _Reader(hidden, template_of(hidden.model, options), at)
        differences: list[NDArray[np.float64]] = []
        for toward, away in pairs:
            if stop.is_set():
                raise EngineStopped("the derivation was given up")
            differences.append(reader.read(toward, 0) - reader.read(away, 1))
            told(len(differences))
        rows = np.asarray(np.mean(differences, axis=0), np.float32)
        vector = ControlVector(to, hidden.model.architecture, dict(zip(count(1), rows, strict=False)))
    finally:
        hidden.close()
    write(vector)
    norms = {layer: float(np.linalg.norm(row)) for layer, row in vector.directions.items()}
    return Derived(norms, *map(fmean, reader.lengths))


class _Reader:
    """Reads the states of thoughts, and notes how long they are, by kind."""

    def __init__(self, hidden: Hidden, template: ChatTemplate, at: At) -> None:
        self._hidden = hidden
        self._template = template
        self._at = at
        self.lengths: tuple[list[int], list[int]] = ([], [])

    def read(self, request: Request, kind: int) -> NDArray[np.float64]:
        """The state of the thought that `request` has begun, (layers - 1, width)."""
        before, whole = self._tokens(request, Prefix()), self._tokens(request, request.prefix)
        start = common(before, whole)
        self.lengths[kind].append(len(whole) - start)
        return self._hidden.mean(whole, start if self._at == "thought" else len(whole) - 1)

    def _tokens(self, request: Request, prefix: Prefix | None) -> list[int]:
        return self._hidden.model.tokenize(self._template.render(replace(request, prefix=prefix)).text)
