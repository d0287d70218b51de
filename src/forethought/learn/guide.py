"""The guide: a model proposes policies for a problem, out of what is remembered of problems like it.

The Guide of experience-guided reasoning (EGuR, Stein et al., arXiv 2511.11519). There strategies are generated as
programs; here they are policies, which are data: nothing that a model writes is run.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any, Literal, NamedTuple, TypeAlias

from ..budget import Budget
from ..context import Node
from ..errors import ForethoughtError, InvalidPolicy
from ..fold import complete
from ..judge.asking import filled
from ..policy import Policy
from ..ports import Backend, Bound
from ..wire import JSON, Request, is_array, is_object
from .menu import ALLOWED, ALLOWED_JUDGES, Menu, layers_of, tables_of
from .written import answer_in, values_in

_KEPT = ("model", "seed", "user", "service_tier", "chat_template_kwargs")
"""Fields of the caller's request that the guide's question keeps."""
_SHOWN = 2000
"""Characters of the problem that the guide is shown."""
_WRITTEN = 2048
"""Tokens that it may write, where `params` say nothing else."""

Origin: TypeAlias = Literal["proposed", "repaired", "stored"]


class Wrong(NamedTuple):
    """A proposal that is no policy of the menu, and why."""

    value: object
    why: str


@dataclass(frozen=True, slots=True)
class Known:
    """A policy that has been tried, and in a few words what came of it; the guide is shown both."""

    policy: Policy
    told: str = ""


@dataclass(frozen=True, slots=True)
class Proposal:
    """A policy to be tried, in quarantine until it has earned its place.

    It was `proposed`, or `repaired` once it was told what is wrong with it, or is the `stored` one nearest to a
    proposal that nothing could be made of.
    """

    policy: Policy
    origin: Origin = "proposed"


@dataclass(frozen=True, slots=True)
class Proposals:
    """What a guide came to: `made` are all valid and bounded, `refused` says what is not among them and why."""

    made: tuple[Proposal, ...] = ()
    refused: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Guide:
    """Asks `backend`, or where that is None the one that answers, for policies; `params` are fields of the body.

    Its proposals are made of the kinds in `layers` and `judges`, with numbers and flags as options and no texts of
    its own. `structured` asks for the JSON schema of that: by default where the backend has grammars. `prompt` is
    filled with `{menu}`, `{known}`, `{notes}`, `{question}`, `{count}` and `{requests}`.

    What is written in the problem can sway what is proposed, but never what is possible, and no proposal is served
    for having been made.
    """

    backend: Backend | None = None
    params: JSON = field(default_factory=dict[str, Any])
    layers: tuple[str, ...] = ALLOWED
    judges: tuple[str, ...] = ALLOWED_JUDGES
    structured: bool | None = None
    prompt: str = ""

    async def propose(
        self,
        inner: Backend,
        request: Request,
        known: Sequence[Known],
        notes: Sequence[str] = (),
        *,
        k: int,
        bound: Bound,
    ) -> Proposals:
        """Up to `k` policies for `request`, none of which can take more than `bound`.

        `known` come best first. What is invalid is shown to the model once, with the reason; where that does not
        help, the nearest of `known` stands in. Otherwise none has the layers of a known one. Two calls at most, and
        a model that cannot be asked proposes nothing.
        """
        menu = Menu(tuple(each.policy for each in known), self.layers, self.judges)
        backend, sieve = self.backend or inner, _Sieve(menu, k, bound)
        tried = [f"- {json.dumps({'layers': list(layers_of(each.policy))})} {each.told}" for each in known]
        told = {
            "menu": menu.words(),
            "known": "\n".join(tried) or "- nothing yet",
            "notes": "\n".join(f"- {each}" for each in notes) or "- none yet",
            "question": request.question[:_SHOWN],
            "count": str(k),
            "requests": str(bound.requests),
        }
        params = self._params(backend, request, menu.schema(k))
        asked = replace(Request.of(filled(self.prompt or PROMPT, told), **params), context=request.context)
        with _told(request.context.node, sieve) as node:
            await _converse(backend, asked.with_context(node=node), sieve)
        return Proposals(tuple(sieve.made), tuple(sieve.refused))

    def _params(self, backend: Backend, request: Request, schema: JSON) -> JSON:
        kept = {name: request.params[name] for name in _KEPT if name in request.params}
        structured = backend.capabilities.grammar if self.structured is None else self.structured
        form = {"type": "json_schema", "json_schema": {"name": "policies", "schema": schema}}
        return {**kept, "max_tokens": _WRITTEN, **({"response_format": form} if structured else {}), **self.params}


@dataclass(slots=True)
class _Sieve:
    """Lets through what is valid, bounded and new."""

    menu: Menu
    k: int
    bound: Bound
    made: list[Proposal] = field(default_factory=list[Proposal])
    refused: list[str] = field(default_factory=list[str])

    def take(self, text: str, origin: Origin) -> list[Wrong]:
        """Take what a model wrote; returns what is invalid in it, each with the reason."""
        wrong: list[Wrong] = []
        for value in parse(text)[: self.k]:
            try:
                policy = self.menu.read(value)
            except InvalidPolicy as error:
                wrong.append(Wrong(value, str(error)))
            else:
                self._add(policy, origin)
        return wrong

    def stand_in(self, wrong: Wrong) -> None:
        """The policy that is nearest to an invalid one, in place of it."""
        self.refused.append(wrong.why)
        near = max(self.menu.known, key=lambda known: likeness(wrong.value, known), default=None)
        if near is not None and near not in [each.policy for each in self.made] and self._fits(near):
            self.made.append(Proposal(near, "stored"))

    def _add(self, policy: Policy, origin: Origin) -> None:
        if self.bound.output_tokens is not None:
            policy = replace(policy, budget=Budget(output_tokens_limit=self.bound.output_tokens))
        seen = [*self.menu.known, *(each.policy for each in self.made)]
        if any(policy.layers == other.layers for other in seen):
            self.refused.append(f"{policy.name}: it is known already")
        elif self._fits(policy) and len(self.made) < self.k:
            self.made.append(Proposal(policy, origin))

    def _fits(self, policy: Policy) -> bool:
        worst = policy.worst_case()
        tokens, most = worst.output_tokens, self.bound.output_tokens
        if worst.requests > self.bound.requests:
            self.refused.append(f"{policy.name}: {worst.requests} calls at worst, {self.bound.requests} are allowed")
        elif most is not None and (tokens is None or tokens > most):
            self.refused.append(f"{policy.name}: {tokens or 'any number of'} tokens at worst, {most} are allowed")
        else:
            return True
        return False


@contextmanager
def _told(around: Node | None, sieve: _Sieve) -> Iterator[Node | None]:
    """A node of the guide's own, which tells what came of it; an error of ours ends in it."""
    node = None if around is None else around.child("guide")
    try:
        yield node
    except ForethoughtError as error:  # advice that cannot be had is no reason not to answer
        sieve.refused.append(str(error))
    finally:
        if node is not None:
            node.decide("proposed", policies=[each.policy.to_json() for each in sieve.made], refused=sieve.refused)
            node.end("proposed")


async def _converse(backend: Backend, asked: Request, sieve: _Sieve) -> None:
    """Ask, and once more where something in the answer is invalid."""
    said = (await complete(backend, asked)).text
    wrong = sieve.take(said, "proposed") if parse(said) else [Wrong({}, NOTHING)]
    if not wrong:
        return
    told = filled(REPAIR, {"reasons": "\n".join(f"- {each.why}" for each in wrong)})
    turns = ({"role": "assistant", "content": said}, {"role": "user", "content": told})
    try:
        again = (await complete(backend, replace(asked, messages=(*asked.messages, *turns)))).text
        wrong = sieve.take(again, "repaired") if parse(again) else wrong
    finally:
        for each in wrong:
            sieve.stand_in(each)


def parse(text: str) -> list[object]:
    """The proposals in what a model wrote, in their order, as JSON values that nobody has checked; never raises.

    They may stand under `policies`, or be a list, or a single policy; a list of layers is one policy.
    """
    for value in values_in(answer_in(text)):
        found: Any = value.get("policies", value) if is_object(value) else value
        rows: list[Any] = [found] if is_object(found) else list(found) if is_array(found) else []
        if any(is_object(row) and "kind" in row for row in rows):
            rows = [{"layers": rows}]
        rows = [{"layers": row} if is_array(row) else row for row in rows]
        if any(is_object(row) and "layers" in row for row in rows):
            return rows
    return []


def likeness(value: object, policy: Policy) -> float:
    """How much of what a proposal says is also said in `policy`, and the reverse: 0 to 1 (Jaccard)."""
    layers = value.get("layers") if is_object(value) else ()
    ours = _said(layer for layer in (layers if is_array(layers) else ()) if is_object(layer))
    theirs = _said(tables_of(policy))
    return len(ours & theirs) / max(1, len(ours | theirs))


def _said(told: Iterable[JSON]) -> set[str]:
    return {f"{table.get('kind')} {name} {value!r}" for table in told for name, value in table.items()}


PROMPT = """\
You decide how a language model should think about a problem. A policy is a list of layers, outermost first; an empty \
list asks the model once. It is good where answers are right, and better where they are as right for fewer tokens.

Layers, with their options and defaults:
{menu}

Tried on problems like this one, best first:
{known}

Noted:
{notes}

The problem, of which you only say how to think about it:
{question}

Propose {count} policies that have not been tried, each of at most {requests} calls of the model. Leave an option out \
where its default will do. Give only JSON, like this:
{"policies": [{"layers": [{"kind": "vote", "samples": 4}]}]}"""

REPAIR = """\
This cannot be used:
{reasons}
Give the same JSON again with these mistakes corrected, and nothing else."""

NOTHING = "no policies were found; an object with the list `policies` is expected"
