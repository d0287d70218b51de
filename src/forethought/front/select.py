"""Which policy and budget a request gets: its own field first, then its model's alias, then the default.

Nothing else selects. In particular no text inside a message does.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias, cast, get_args

from ..budget import Budget
from ..errors import InvalidPolicy, InvalidRequest
from ..policy import Policy

FIELD = "forethought"
NONE = "none"
"""The policy that is none: the request goes on as it is."""
INLINE = "inline"
"""The name of a policy that a request brings along."""
Progress: TypeAlias = Literal["comments", "reasoning", "none"]
_UNLIMITED = Budget()
_OPTIONS = ("policy", "budget", "progress")


@dataclass(frozen=True, slots=True)
class Selection:
    """What was selected; `body` is the caller's without what selected it, `rewritten` says that this differs.

    `policy` None asks the model once, with nothing added.
    """

    body: dict[str, Any]
    policy: Policy | None = None
    budget: Budget | None = None
    progress: Progress = "comments"
    rewritten: bool = False

    @property
    def plain(self) -> bool:
        """Whether nothing is asked of us but to pass the request on."""
        added = self.policy is not None and (self.policy.layers or self.policy.budget != _UNLIMITED)
        return not added and self.budget is None


@dataclass(frozen=True, slots=True)
class Selector:
    """Selects among `policies`; `cap` tightens the budget of every request."""

    policies: Mapping[str, Policy]
    default: Policy | None = None
    cap: Budget | None = None

    def select(self, body: dict[str, Any]) -> Selection:
        """Read a request's body, which is not changed; raises InvalidRequest or InvalidPolicy naming the field."""
        alias, model = self.split(body.get("model"))
        if FIELD not in body and alias is None:
            return Selection(body, self.default, self.cap)
        rest = {name: value for name, value in body.items() if name != FIELD}
        if alias is not None:
            rest["model"] = model
        options = _options(body.get(FIELD, {}))
        policy = self._policy(options["policy"]) if "policy" in options else self._named(alias)
        return Selection(rest, policy, self._budget(options.get("budget")), _progress(options), rewritten=True)

    def split(self, model: object) -> tuple[str | None, object]:
        """The policy that a model id begins with, None where it does not, and the id of the model itself."""
        if isinstance(model, str):
            name, slash, rest = model.partition("/")
            if slash and rest and (name in self.policies or name == NONE):
                return name, rest
        return None, model

    def _named(self, name: str | None) -> Policy | None:
        return self.default if name is None else self.policies.get(name)

    def _policy(self, chosen: object) -> Policy | None:
        if chosen is None or chosen == NONE:
            return None
        if isinstance(chosen, Mapping):
            return _inline(cast("Mapping[str, Any]", chosen))
        if not isinstance(chosen, str) or chosen not in self.policies:
            known = ", ".join((NONE, *self.policies))
            raise InvalidPolicy(f"{FIELD}.policy", chosen, f"the policies are {known}, or a policy as an object")
        return self.policies[chosen]

    def _budget(self, asked: object) -> Budget | None:
        if asked is None:
            return self.cap
        if not isinstance(asked, Mapping):
            raise InvalidPolicy(f"{FIELD}.budget", asked, "an object of limits is expected")
        try:
            budget = Budget.from_json(cast("Mapping[str, Any]", asked))
        except InvalidPolicy as wrong:
            raise InvalidPolicy(f"{FIELD}.{wrong.field}", wrong.value, wrong.hint) from None
        return budget if self.cap is None else budget.tighter(self.cap)


def _options(value: object) -> Mapping[str, Any]:
    """The options in our field; null is the same as the policy that is none."""
    if value is None:
        return {"policy": None}
    if not isinstance(value, Mapping):
        raise InvalidRequest(FIELD, value, f"null or an object with any of {', '.join(_OPTIONS)} is expected")
    options = cast("Mapping[str, Any]", value)
    for name in options:
        if name not in _OPTIONS:
            raise InvalidRequest(f"{FIELD}.{name}", options[name], f"the options are {', '.join(_OPTIONS)}")
    return options


def _inline(value: Mapping[str, Any]) -> Policy:
    try:
        return Policy.from_json({**value, "name": INLINE})
    except InvalidPolicy as wrong:
        raise InvalidPolicy(f"{FIELD}.policy.{wrong.field}", wrong.value, wrong.hint) from None


def _progress(options: Mapping[str, Any]) -> Progress:
    chosen = options.get("progress", "comments")
    if chosen not in get_args(Progress):
        raise InvalidRequest(f"{FIELD}.progress", chosen, f"one of {', '.join(get_args(Progress))} is expected")
    return cast("Progress", chosen)
