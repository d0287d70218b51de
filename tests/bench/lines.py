"""What a bench says: figures, and whether each is within its bar."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from rich.console import Console


@dataclass(frozen=True, slots=True)
class Line:
    """A figure under its name; `least` and `most` are its bars. Without a value `why` says why there is none."""

    name: str
    value: float | None
    unit: str = "x"
    least: float | None = None
    most: float | None = None
    why: str = ""

    @property
    def missed(self) -> bool:
        if self.value is None:
            return False
        return (self.least is not None and self.value < self.least) or (
            self.most is not None and self.value > self.most
        )

    @property
    def barred(self) -> bool:
        return self.least is not None or self.most is not None

    def __str__(self) -> str:
        value = "not measured" if self.value is None else f"{self.value:,.2f} {self.unit}"
        bars = [
            f"{word} {bar:g}" for word, bar in (("at least", self.least), ("at most", self.most)) if bar is not None
        ]
        notes = "; ".join(filter(None, [*bars, self.why]))
        return f"{self.name}: {value}" + (f" ({notes})" if notes else "")


def show(console: Console, line: Line) -> None:
    """Print a line as soon as it is known."""
    if line.value is None or not line.barred:
        mark = "     -"
    else:
        mark = "[red]missed[/]" if line.missed else "[green]   met[/]"
    console.print(mark, str(line), highlight=False, soft_wrap=True)


def write(path: Path, lines: Sequence[Line], about: dict[str, object]) -> None:
    """Keep what was measured, with what it was measured on."""
    told = [{**asdict(line), "missed": line.missed} for line in lines]
    path.write_text(json.dumps({**about, "lines": told}, indent=2) + "\n", encoding="utf-8")
