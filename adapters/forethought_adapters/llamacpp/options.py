"""How a model is opened: the options of the backend, with their defaults."""

from __future__ import annotations

import math
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeAlias, get_args

from forethought.thinking import Tags

Isolation: TypeAlias = Literal["thread", "process"]

MAX_CELLS = 16384
"""The most cells that are allocated where `n_ctx` is not given."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """Options of the in-process engine.

    n_ctx: KV cells for all sequences together; None takes the model's training context times `n_parallel`, at
        most 16384. One sequence holds at most this many tokens and at most the training context.
    n_parallel: sequences decoded together; more requests than that wait in the order they came.
    n_batch: tokens in one decode step, at least two a sequence. While others are writing, a prompt is read in
        quarters of it.
    n_threads: None takes the physical cores.
    n_parked: cells kept for finished sequences, whose text may be continued or asked again; None takes a
        quarter of `n_ctx`, at most the longest sequence.
    n_gpu_layers, main_gpu, split_mode: passed to llama.cpp; a negative `n_gpu_layers` means all layers.
    seed: for requests that bring none; None draws differently each time.
    chat_template: Jinja source used instead of the file's own.
    reasoning_tags: how the model opens and closes its thinking; None recognises the common families.
    steering_vector: a GGUF control vector that is added to what the layers put out, for every request;
        `steering_scale` times, where negative leads away and 0 is as if there were none.
    isolation: where the model lives: in a thread of this process, or in a process of its own, so that a fault
        in native code costs the requests in flight and nothing else.
    verbose: leaves llama.cpp's log alone instead of silencing it.
    """

    path: Path
    name: str
    n_ctx: int | None = None
    n_parallel: int = 16
    n_batch: int = 512
    n_threads: int | None = None
    n_parked: int | None = None
    n_gpu_layers: int = -1
    main_gpu: int = 0
    split_mode: int | None = None
    seed: int | None = None
    chars_per_token: float = 4.0
    chat_template: str | None = None
    reasoning_tags: Tags | None = None
    steering_vector: Path | None = None
    steering_scale: float = 1.0
    isolation: Isolation = "thread"
    verbose: bool = False

    def __post_init__(self) -> None:
        for name in ("n_ctx", "n_parallel", "n_batch", "n_threads"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise ValueError(f"{name}: got {value!r}; an integer of at least 1 is expected")
        if self.isolation not in get_args(Isolation):
            raise ValueError(f"isolation: got {self.isolation!r}; 'thread' or 'process' is expected")
        if not math.isfinite(self.steering_scale):
            raise ValueError(f"steering_scale: got {self.steering_scale!r}; a finite number is expected")
        if self.n_parallel > 128:
            raise ValueError(f"n_parallel: got {self.n_parallel!r}; llama.cpp allows at most 128 with as many parked")

    @property
    def threads(self) -> int:
        """Threads for native code."""
        return self.n_threads or physical_cores()

    def cells(self, trained: int) -> int:
        """KV cells to allocate for a model with a training context of `trained` tokens."""
        return self.n_ctx or min(trained * self.n_parallel, max(MAX_CELLS, self.n_parallel))


def physical_cores() -> int:
    """Cores this process may use, hyperthreads counted once where the system says which they are."""
    allowed = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else set(range(os.cpu_count() or 1))
    cores = {_siblings(cpu) for cpu in allowed}
    return max(1, len(cores))


def _siblings(cpu: int) -> str:
    try:
        return Path(f"/sys/devices/system/cpu/cpu{cpu}/topology/thread_siblings_list").read_text()
    except OSError:
        return str(cpu)
