"""Forward-backward reasoning: the answer from which the numbers of the question can be worked out again.

FOBAR (arXiv 2308.07758): a number of the question is hidden, the model is told an answer and asked for the number.
The idea is that of the paper; the constants could not be checked against it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import exp, log
from typing import Any, ClassVar

from ..answers import extract, same
from ..errors import InvalidPolicy
from ..ports import Candidate, Inquiry, Judge
from ..wire import Completion, Request
from .asking import Asking, filled, in_place_of_last_turn
from .contest import Contest, checked_confidence
from .majority import Majority
from .standing import brief, contenders


@dataclass(frozen=True, slots=True)
class Backward(Asking):
    """Chooses the answer with the best `backward_probabilities`.

    As soon as two candidates disagree each answer is asked about `recoveries` times: one number of the question
    is hidden, each in turn, and the model told the answer has to find it. With `eager` these are asked at once,
    otherwise one after the other for each answer that can still win; it is decided when neither they nor a sample
    to come can change the winner, or, while all agree, at the `confidence` of the majority judge. What brings back
    no number has not recovered it. A question without a number in digits is left to the majority.

    `alpha` weighs the votes against the recoveries: 1 is the majority, 0 heeds the recoveries alone.
    """

    kind: ClassVar[str] = "backward"

    recoveries: int = 8
    alpha: float = 0.5
    confidence: float = 0.95
    eager: bool = False

    def __post_init__(self) -> None:
        Asking.__post_init__(self)
        if not 1 <= self.recoveries <= 64:
            raise InvalidPolicy("recoveries", self.recoveries, "1 to 64 are expected")
        if not 0 <= self.alpha <= 1:
            raise InvalidPolicy("alpha", self.alpha, "0 to 1 is expected")
        checked_confidence(self.confidence)

    def open(self, samples: int, request: Request, /) -> Judge:
        """A judge for a fan-out of `samples` candidates that answer `request`."""
        hidden = hideable(request.question)
        return Recovery(self, samples, request, hidden) if hidden else Majority(self.confidence).open(samples)

    def asks(self, samples: int, /) -> int:
        """Where every candidate answers something else, each answer is asked about."""
        return samples * self.recoveries


@dataclass(frozen=True, slots=True)
class Hidden:
    """A question with the letter `name` in place of one of its numbers."""

    question: str
    number: str
    name: str


def hideable(question: str) -> list[Hidden]:
    """The question with each of its numbers hidden in turn: those in digits that number no list and no name."""
    name = next((letter for letter in "XYZWQ" if not re.search(rf"\b{letter}\b", question)), "XX")
    return [
        Hidden(f"{question[: found.start(1)]}{name}{question[found.end(1) :]}", found[1], name)
        for found in _NUMBER.finditer(question)
        if found[1]
    ]


def backward_probabilities(votes: Sequence[int], recovered: Sequence[int], alpha: float) -> list[float]:
    """How likely each answer is: its share of the votes to `alpha` times that of the recoveries to `1 - alpha`."""
    scores = [exp(_log_score(*each, alpha)) for each in zip(votes, recovered, strict=True)]
    return [score / sum(scores) for score in scores]


def _log_score(votes: int, recovered: int, alpha: float) -> float:
    """Up to a constant that is the same for all answers."""
    return alpha * log(max(votes, EPSILON)) + (1 - alpha) * log(recovered + EPSILON)


class Recovery(Contest):
    """Counts what each answer lets recover."""

    def __init__(self, rule: Backward, samples: int, request: Request, hidden: Sequence[Hidden]) -> None:
        super().__init__(samples, rule.confidence)
        self._rule = rule
        self._request = request
        self._hidden = hidden
        self._found: list[dict[int, bool]] = []
        self._asked: dict[int, tuple[int, int]] = {}

    def add(self, candidate: Candidate, /) -> None:
        if self._standing.add(candidate) == len(self._found):
            self._found.append({})

    def inquiries(self) -> Sequence[Inquiry]:
        """The next question about each answer that can still win; all of them when eager."""
        if self.decided or not self._contested:
            return ()
        at_once = self._rule.recoveries if self._rule.eager else 1
        alive = [cluster for cluster in self._alive() if cluster < len(self._found)]
        return [self._inquiry(c, number) for c in alive for number in self._open(c)[:at_once]]

    def answered(self, inquiry: Inquiry, completion: Completion | None, /) -> str:
        cluster, number = self._asked[inquiry.key]
        hidden = self._hidden[number % len(self._hidden)].number
        said = extract(completion) if completion is not None and completion.finish_reason == "stop" else ""
        recovered = same(said, hidden)
        self._found[cluster].setdefault(number, recovered)
        return "recovered" if recovered else "not recovered"

    @property
    def report(self) -> Mapping[str, Any]:
        counts, recovered = self._standing.counts, [self._recovered(c) for c in range(len(self._found))]
        chances = backward_probabilities(counts, recovered, self._rule.alpha) if self._found else []
        told = zip(self._standing.champions, recovered, self._found, chances, strict=True)
        return {
            **self._standing.report(),
            "decided_by": self.decided_by,
            "recovered": [
                {"answer": brief(each.answer), "recovered": hits, "asked": len(found), "probability": round(chance, 4)}
                for each, hits, found, chance in told
            ],
        }

    @property
    def _winner(self) -> int | None:
        ranks = [self._standing.worst(c, self._score(c)) for c in range(len(self._found))]
        return ranks.index(max(ranks)) if ranks else None

    @property
    def _pending(self) -> bool:
        return any(self._open(cluster) for cluster in range(len(self._found)))

    def _is_certain(self) -> bool:
        return bool(self._found) and len(self._alive()) == 1

    def _alive(self) -> list[int]:
        """The clusters that can still win; the last may be one that has not begun."""
        standing, clusters = self._standing, range(len(self._found))
        worst = [standing.worst(c, self._score(c)) for c in clusters]
        best = [standing.best(c, self._score(c, standing.to_come, len(self._open(c)))) for c in clusters]
        newest = _log_score(standing.to_come, self._rule.recoveries, self._rule.alpha)
        return contenders(worst, best + standing.newcomer(newest))

    def _score(self, cluster: int, joined: int = 0, found: int = 0) -> float:
        votes = self._standing.counts[cluster] + joined
        return _log_score(votes, self._recovered(cluster) + found, self._rule.alpha)

    def _recovered(self, cluster: int) -> int:
        return sum(self._found[cluster].values())

    def _open(self, cluster: int) -> list[int]:
        return [number for number in range(self._rule.recoveries) if number not in self._found[cluster]]

    def _inquiry(self, cluster: int, number: int) -> Inquiry:
        first = self._standing.members[cluster][0]
        key = first.index * self._rule.recoveries + number
        self._asked[key] = cluster, number
        hidden = self._hidden[number % len(self._hidden)]
        prompt = filled(PROMPT, {"question": hidden.question, "answer": first.answer, "name": hidden.name})
        return self._rule.inquiry(key, self._request, in_place_of_last_turn(self._request, prompt))


EPSILON = 1e-8
"""What a recovery counts that never came, so that one answer without any is not impossible."""

_NUMBER = re.compile(
    r"^[ \t]{0,9}\(?\d{1,3}[.)][ \t]"  # the number of a line, which is left alone
    r"|(?<![\w.,\\^_])(?<![A-Za-z]-)(\d{1,30}(?:,\d{3}){0,9}(?:\.\d{1,30})?)(?!\w|[.,]\d)",
    re.MULTILINE,
)

PROMPT = """\
In the question below one number was replaced by {name}.

{question}

The answer to the question is known to be: {answer}

Work out from that answer what number {name} stands for. If it does not follow, or no number fits, say so. Do not \
trust the answer to be right: calculate. Then end with one line, "The answer is" and the number."""
