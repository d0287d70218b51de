"""Trains the pocket model from nothing: `python -m forethought_pocket.train --minutes 70 --compiled --muon`.

Needs PyTorch, which is no dependency of the project: `pip install torch gguf`. The problems are made as they are
needed, so no data is read. A checkpoint is written every few minutes; started again with the same `--out`, the run
goes on from there. On a CPU one compiled thread in bfloat16 reads 10 to 20 thousand tokens a second.
"""

# PyTorch is no dependency, so its names have no types here.
# pyright: basic, reportMissingImports=false
# mypy: disable-error-code="import-not-found,misc,untyped-decorator,no-any-return"

from __future__ import annotations

import argparse
import math
import random
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import torch
from torch.nn import functional

from .chat import encode
from .model import Pocket, Shape
from .traces import Conversation, conversations

POOL = 1024
"""How many conversations are sorted by length at a time, so that rows of a batch hardly need padding."""

ROUND = 32
"""Rows are padded to a multiple of this, so that few shapes occur."""

IGNORED = -100


@dataclass(slots=True)
class Settings:
    """What one run is told."""

    minutes: float
    threads: int
    out: Path
    batch: int
    rate: float
    seed: int
    compiled: bool
    muon: bool
    save_every: float = 300.0


@dataclass(slots=True)
class Progress:
    """How far a run has come; kept in its checkpoint."""

    seconds: float = 0.0
    steps: int = 0
    tokens: int = 0
    starts: int = 0


def row(conversation: Conversation) -> tuple[list[int], list[int]]:
    """The ids of a conversation, and for each the id to be predicted next or IGNORED."""
    ids: list[int] = []
    labels: list[int] = []
    for segment in conversation:
        piece = encode(segment.text)
        ids += piece
        labels += piece if segment.learned else [IGNORED] * len(piece)
    return ids[:-1], labels[1:]


def batches(seed: int, size: int, context: int) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """Endless (ids, labels), each of about `size` tokens, rows of like length together."""
    source = (row(conversation) for conversation in conversations(seed))
    short = (found for found in source if len(found[0]) <= context)
    rng = random.Random(seed)  # noqa: S311
    while True:
        pool = sorted(islice(short, POOL), key=lambda found: len(found[0]))
        ready = list(_groups(pool, size))
        rng.shuffle(ready)
        yield from (_padded(group) for group in ready)


def _groups(pool: list[Any], size: int) -> Iterator[list[Any]]:
    group: list[Any] = []
    for found in pool:
        if group and _round(len(found[0])) * (len(group) + 1) > size:
            yield group
            group = []
        group.append(found)
    yield group


def _round(length: int) -> int:
    return -(-length // ROUND) * ROUND


def _padded(group: list[Any]) -> tuple[torch.Tensor, torch.Tensor]:
    width = _round(max(len(ids) for ids, _ in group))
    ids = torch.zeros(len(group), width, dtype=torch.long)
    labels = torch.full((len(group), width), IGNORED)
    for place, (tokens, wanted) in enumerate(group):
        ids[place, : len(tokens)] = torch.tensor(tokens)
        labels[place, : len(wanted)] = torch.tensor(wanted)
    return ids, labels


def loss_of(network: Any, model: Pocket, ids: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """The mean surprise at the learned tokens."""
    counted = labels.flatten() != IGNORED
    with torch.autocast(ids.device.type, torch.bfloat16):
        logits = model.head(network(ids).flatten(0, 1)[counted])
    return functional.cross_entropy(logits.float(), labels.flatten()[counted])


def rate_at(share: float, peak: float) -> float:
    """The learning rate when `share` of the time is over: a short rise, then a cosine to nothing."""
    return peak * min(1.0, share / 0.02) * (0.5 + 0.5 * math.cos(math.pi * min(1.0, share)))


def _optimisers(model: Pocket, settings: Settings) -> list[torch.optim.Optimizer]:
    """Muon for the matrices inside the layers, AdamW for the rest."""
    inside = [weight for weight in model.layers.parameters() if weight.dim() == 2 and settings.muon]
    known = {id(weight) for weight in inside}
    rest = [weight for weight in model.parameters() if id(weight) not in known]
    adam = torch.optim.AdamW(rest, lr=settings.rate, betas=(0.9, 0.98), weight_decay=0.02)
    if not inside:
        return [adam]
    return [adam, torch.optim.Muon(inside, lr=settings.rate, weight_decay=0.02, adjust_lr_fn="match_rms_adamw")]


class Trainer:
    """One run: the model, its optimiser and how far it has come."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        torch.manual_seed(settings.seed)
        self.model = Pocket(Shape()).to(self.device)
        self.network: Any = torch.compile(self.model.states, dynamic=True) if settings.compiled else self.model.states
        self.optimisers = _optimisers(self.model, settings)
        self.progress = Progress()
        if settings.out.exists():
            self._resume()

    def _resume(self) -> None:
        kept = torch.load(self.settings.out, map_location=self.device, weights_only=True)
        self.model.load_state_dict(kept["model"])
        for optimiser, state in zip(self.optimisers, kept["optimisers"], strict=True):
            optimiser.load_state_dict(state)
        self.progress = Progress(**kept["progress"])

    def save(self) -> None:
        """Writes the checkpoint whole or not at all."""
        progress = self.progress
        kept = {
            "shape": self.model.shape.as_dict(),
            "model": self.model.state_dict(),
            "optimisers": [optimiser.state_dict() for optimiser in self.optimisers],
            "progress": {name: getattr(progress, name) for name in Progress.__slots__},
        }
        draft = self.settings.out.with_suffix(".draft")
        torch.save(kept, draft)
        draft.replace(self.settings.out)

    def step(self, ids: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        """Learns from one batch and returns its loss."""
        share = self.progress.seconds / (60 * self.settings.minutes)
        for group in (group for optimiser in self.optimisers for group in optimiser.param_groups):
            group["lr"] = rate_at(share, self.settings.rate)
        loss = loss_of(self.network, self.model, ids.to(self.device), labels.to(self.device))
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        for optimiser in self.optimisers:
            optimiser.step()
            optimiser.zero_grad()
        self.progress.steps += 1
        self.progress.tokens += ids.numel()
        return loss.detach()

    def run(self) -> None:
        """Trains until the time is over."""
        progress = self.progress
        progress.starts += 1
        seed = self.settings.seed * 1000 + progress.starts
        began, before, saved = time.monotonic(), progress.seconds, progress.seconds
        losses: list[float] = []
        for ids, labels in batches(seed, self.settings.batch, self.model.shape.context):
            losses.append(self.step(ids, labels).item())
            progress.seconds = before + time.monotonic() - began
            if progress.steps % 100 == 0:
                _tell(_line(progress, losses[-100:]))
            if progress.seconds - saved > self.settings.save_every:
                saved = progress.seconds
                self.save()
            if progress.seconds > 60 * self.settings.minutes:
                break
        self.save()


def _tell(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def _line(progress: Progress, losses: list[float]) -> str:
    return (
        f"{progress.seconds / 60:6.1f} min  step {progress.steps:6d}  {progress.tokens / 1e6:7.1f}M tokens"
        f"  loss {sum(losses) / len(losses):.4f}"
    )


def _settings() -> Settings:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=60)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--out", type=Path, default=Path("pocket.pt"))
    parser.add_argument("--batch", type=int, default=2048, help="tokens in a batch")
    parser.add_argument("--rate", type=float, default=3e-3)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--compiled", action="store_true", help="compile the network; needs g++")
    parser.add_argument("--muon", action="store_true", help="Muon instead of AdamW inside the layers")
    return Settings(**vars(parser.parse_args()))


def main() -> None:
    """The command line."""
    settings = _settings()
    torch.set_num_threads(settings.threads)
    Trainer(settings).run()


if __name__ == "__main__":
    main()
