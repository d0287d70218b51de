"""What judges that ask have in common: whom they ask, and how they put their question."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from hashlib import blake2b
from itertools import count

from ..errors import InvalidPolicy
from ..ports import IN_CODE, Backend, Candidate, Inquiry
from ..wire import JSON, Request, is_array

_KEPT = (
    "model", "temperature", "top_p", "seed", "max_tokens", "max_completion_tokens", "reasoning_effort", "user",
    "service_tier", "chat_template_kwargs",
)  # fmt: skip
"""Fields of the caller's request that a question of ours keeps; what asks for a form of answer is left out."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Asking:
    """Whom a judge asks: `verifier`, given in code, or else the model `model` of the backend that is judged.

    Without either it is the model that answered; another sees more of its mistakes (arXiv 2512.02304).
    `temperature` and `max_tokens` stand in for those of the request. A verifier that is no engine is paid for at
    list prices.
    """

    model: str = ""
    temperature: float | None = None
    max_tokens: int | None = None
    verifier: Backend | None = field(default=None, metadata=IN_CODE)

    def __post_init__(self) -> None:
        if self.temperature is not None and not 0 <= self.temperature <= 2:
            raise InvalidPolicy("temperature", self.temperature, "0 to 2 is expected")
        if self.max_tokens is not None and self.max_tokens < 1:
            raise InvalidPolicy("max_tokens", self.max_tokens, "an integer of at least 1 is expected")

    def inquiry(self, key: int, request: Request, messages: tuple[JSON, ...]) -> Inquiry:
        """A question of our own, within the run of `request`."""
        params = {name: request.params[name] for name in _KEPT if name in request.params}
        if self.model or self.verifier is not None:
            params = {**params, "model": self.model} if self.model else without(params, "model")
        if self.temperature is not None:
            params["temperature"] = self.temperature
        asked = replace(request, messages=messages, params=params, prefix=None)
        return Inquiry(key, asked.with_max_tokens(self.max_tokens), self.verifier)


def without(fields: Mapping[str, object], name: str) -> dict[str, object]:
    return {key: value for key, value in fields.items() if key != name}


def filled(template: str, values: Mapping[str, str]) -> str:
    """`template` with each `{name}` replaced once: braces in what is put in are left as they are."""
    return _SLOT.sub(lambda slot: values.get(slot[1], slot[0]), template)


def in_last_turn(request: Request, text: str) -> tuple[JSON, ...]:
    """The conversation with `text` at the end of the user's last turn, so that roles still take turns."""
    *before, last = request.messages
    content = last.get("content")
    if last.get("role") != "user":
        return (*request.messages, {"role": "user", "content": text})
    more = [*content, {"type": "text", "text": text}] if is_array(content) else f"{content or ''}\n\n{text}"
    return (*before, {**last, "content": more})


def in_place_of_last_turn(request: Request, text: str) -> tuple[JSON, ...]:
    """The conversation with `text` instead of the user's last turn and what follows it."""
    turns = list(request.messages)
    asked = next((i for i in reversed(range(len(turns))) if turns[i].get("role") == "user"), len(turns))
    return (*turns[:asked], {"role": "user", "content": text})


def solution_of(candidate: Candidate) -> str:
    """What is shown of a candidate: its text without the thinking, or the calls that it makes."""
    return candidate.completion.text.rpartition("</think>")[2].strip() or candidate.answer


def code_for(*texts: str) -> str:
    """A short word that stands in none of `texts`, always the same for the same texts.

    Whoever wrote them did not know it; so nothing in them can pass for a line that must carry it.
    """
    seed = "\0".join(texts).lower()
    codes = (blake2b(f"{salt}\0{seed}".encode("utf-8", "replace"), digest_size=3).hexdigest() for salt in count())
    return next(code for code in codes if code not in seed)


def last_line(text: str) -> str:
    """The last line that says something, without the full stop and the markdown around it."""
    return text.strip().rsplit("\n", 1)[-1].strip(" \t\r*_`.")


_SLOT = re.compile(r"\{(\w+)\}")
