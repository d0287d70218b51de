"""How sure a model is of what it has thought: read from its next token, or asked for in words.

The confidence detector of ConCISE (arXiv 2505.04881), as others have rebuilt it: no code was published.
"""

from __future__ import annotations

import re
from collections.abc import Generator, Mapping
from dataclasses import asdict, dataclass
from math import exp
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, TypeAdapter, ValidationError

from ..errors import InvalidPolicy
from ..ports import Capabilities, Decision, Observed, Probe, Probed
from ..wire import JSON

TOP = 20
"""Alternatives that are read of the next token: the most that an OpenAI-compatible server gives."""


@dataclass(frozen=True, slots=True)
class Detector:
    """Confidence, 0 to 1, is the probability that the next token after `suffix` is one of `tokens`.

    Without `tokens` it is that of the likeliest token, so the certainty of a trial answer. `through` is a token
    after which `tokens` are looked for once more. A `verbal` detector has the model write a number from 1 to 10
    after `suffix` instead. Above `threshold` the model counts as sure.
    """

    suffix: str
    tokens: tuple[str, ...] = ()
    through: str = ""
    threshold: Annotated[float, Field(ge=0, le=1)] = 0.5
    verbal: bool = False

    def fits(self, capabilities: Capabilities) -> bool:
        """Whether a backend tells what this detector reads."""
        able = capabilities.logprobs and (capabilities.top_logprobs > 0 or not self.tokens)
        return self.verbal or able

    def confidence(self) -> Generator[Decision, Observed, float]:
        """Probe and read, as a part of a steer: at most two probes; 0 where nothing can be read."""
        if self.verbal:
            said = yield Probe(self.suffix, 4, temperature=0.0)
            return verbalised(said)
        first = masses((yield self._asking(self.suffix)))
        sure, more = self.mass(first), first.get(self.through, 0.0) if self.through else 0.0
        if sure <= self.threshold < sure + more:
            sure += more * self.mass(masses((yield self._asking(self.suffix + self.through))))
        return sure

    def mass(self, next_token: Mapping[str, float]) -> float:
        """The confidence in these probabilities of the next token, 0 to 1."""
        if not self.tokens:
            return max(next_token.values(), default=0.0)
        return min(1.0, sum(next_token.get(token, 0.0) for token in self.tokens))

    def _asking(self, suffix: str) -> Probe:
        return Probe(suffix, 1, temperature=0.0, top_logprobs=TOP)


PUBLISHED = Detector(" So, I'm", (" confident", " sure"), " pretty", 0.5)
"""Tokens and threshold as they are told of; on small models they can point the wrong way, so calibrate."""

VERBAL = Detector("\n\nFrom 1 (a guess) to 10 (certain), how sure I am of this: ", threshold=0.85, verbal=True)
"""Where a backend gives no logprobs."""


def masses(said: Observed) -> Mapping[str, float]:
    """The likeliest next tokens that a probe brought back, with their probabilities."""
    if not isinstance(said, Probed) or not said.logprobs:
        return {}
    first = said.logprobs[0]
    return {token: min(1.0, exp(logprob)) for token, logprob in ((first.token, first.logprob), *first.top)}


def verbalised(said: Observed) -> float:
    """The first number, out of ten, as a share; 0 where there is none from 1 to 10."""
    found = _NUMBER.search(said.text) if isinstance(said, Probed) else None
    return int(found[0]) / 10 if found and int(found[0]) <= 10 else 0.0


@dataclass(frozen=True, slots=True)
class Calibration:
    """A detector that was chosen for one model, and what it was measured to do."""

    detector: Detector
    model: str = ""
    measured: dict[str, Any] | None = None

    def to_json(self) -> JSON:
        return asdict(self)


def read(path: str) -> Calibration:
    """Read what `forethought calibrate` writes; raises InvalidPolicy for a file that is not there or wrong.

    It lies below the working directory: a request may bring a policy along, and must not reach other files by it.
    """
    if not Path(path).resolve().is_relative_to(Path.cwd().resolve()):
        raise InvalidPolicy("compress.calibration", path, "a path below the working directory is expected")
    try:
        text = Path(path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        hint = f"the file cannot be read: {error}; `forethought calibrate {path}` writes one"
        raise InvalidPolicy("compress.calibration", path, hint) from error
    try:
        return _FILE.validate_json(text, strict=True)
    except ValidationError as error:
        wrong = error.errors()[0]
        place = ".".join(map(str, wrong["loc"])) or "the file"
        raise InvalidPolicy("compress.calibration", path, f"{place}: {wrong['msg']}") from None


_FILE = TypeAdapter(Calibration)
_NUMBER = re.compile(r"(?<![\d.])\d{1,2}(?!\d)")
