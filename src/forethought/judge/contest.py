"""What judges that ask have in common: while all agree an adaptive vote, and questions once they do not."""

from __future__ import annotations

from ..errors import InvalidPolicy
from ..ports import Candidate
from .majority import beta_confidence
from .standing import Standing


class Contest:
    """Candidates whose answers differ are asked about; subclasses say how, and when that has decided it.

    While all agree, `confidence` decides as it does in the majority judge, so that an easy question costs no more
    than a vote; with 1 every sample is heard.
    """

    def __init__(self, samples: int, confidence: float) -> None:
        self._standing = Standing(samples)
        self._confidence = confidence

    def missed(self) -> None:
        """One of the samples has failed and will never land."""
        self._standing.miss()

    @property
    def leader(self) -> Candidate | None:
        winner = self._winner
        return self._standing.first if winner is None else self._champion(winner)

    @property
    def decided(self) -> bool:
        return bool(self.decided_by)

    @property
    def decided_by(self) -> str:
        """`all` when all is heard, `certain` when nothing to come changes the winner, `confidence`, or "" yet."""
        if not self._standing.to_come and not (self._contested and self._pending):
            return "all"
        if self._is_certain():
            return "certain"
        return "confidence" if self._is_confident() else ""

    @property
    def needed(self) -> int:
        """The fewest further candidates that could decide it: without a rival those that agree, else all."""
        left = self._standing.to_come
        if self.decided:
            return 0
        if self._contested:
            return left
        return next((more for more in range(1, left) if self._is_confident(more)), left)

    @property
    def _contested(self) -> bool:
        return len(self._standing.members) > 1

    @property
    def _winner(self) -> int | None:
        """The cluster that leads; None while there is none."""
        raise NotImplementedError

    def _champion(self, cluster: int) -> Candidate:
        return self._standing.champions[cluster]

    @property
    def _pending(self) -> bool:
        """Whether there is more to ask about the candidates that have landed."""
        raise NotImplementedError

    def _is_certain(self) -> bool:
        """Whether nothing to come can change the winner."""
        return False

    def _is_confident(self, more: int = 0) -> bool:
        counts = self._standing.counts
        if self._confidence >= 1 or len(counts) > 1:
            return False
        return beta_confidence(sum(counts) + more, 0) >= self._confidence


def checked_confidence(confidence: float) -> None:
    """Raise InvalidPolicy where this is no confidence."""
    if not 0.5 < confidence <= 1:
        raise InvalidPolicy("confidence", confidence, "a number above 0.5 and up to 1 is expected")
