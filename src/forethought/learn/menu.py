"""What a guide may propose: kinds and options read off the code, as words, as a JSON schema and as a check."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, get_args, get_origin

from pydantic import TypeAdapter

from .. import plugins
from ..errors import InvalidPolicy
from ..kinds import kind as kind_of
from ..policy import JUDGES, LAYERS, Policy
from ..shape.handbook import HANDBOOKS
from ..wire import JSON, is_array, is_object
from .memory import identity

ALLOWED = ("brake", "compress", "deepen", "deepen_samples", "handbook", "limit", "lookahead", "loop", "settle", "vote")
"""Layers that may be proposed. None of them holds policies, learns, or reaches beyond the model."""
ALLOWED_JUDGES = ("majority", "backward", "pairwise", "pessimistic")
MOST_LAYERS = 4
_LARGEST = 1_000_000_000
_FILES = (".toml", ".json", ".gguf")


@dataclass(frozen=True, slots=True)
class Menu:
    """The closed set that a proposal is made of: these kinds, with numbers and flags as options.

    A text would reach a prompt, or name a file. So a text option can only be one of the choices that the code
    lists, an installed handbook, or what the same option says in a policy of `known`; a file it can never be.
    """

    known: tuple[Policy, ...] = ()
    layers: tuple[str, ...] = ALLOWED
    judges: tuple[str, ...] = ALLOWED_JUDGES

    def read(self, value: object) -> Policy:
        """A proposal, `{"layers": [{"kind", …}, …]}`, as a policy named after what it does; raises InvalidPolicy."""
        layers = value.get("layers") if is_object(value) else None
        if not is_array(layers) or len(layers) > MOST_LAYERS:
            raise InvalidPolicy("layers", layers, f"a list of at most {MOST_LAYERS} layers is expected")
        for index, table in enumerate(layers):
            self._check(f"layers[{index}]", table, LAYERS)
        policy = Policy.from_json({"name": "proposed", "layers": layers})
        return replace(policy, name=f"proposed-{identity(policy.to_json())}")

    def schema(self, count: int) -> dict[str, Any]:
        """A JSON schema of `{"policies": […]}` with at most `count` of them."""
        layers = {"type": "array", "items": self._any(LAYERS), "maxItems": MOST_LAYERS}
        policy = _object({"layers": layers}, "layers")
        return _object({"policies": {"type": "array", "items": policy, "minItems": 1, "maxItems": count}}, "policies")

    def words(self) -> str:
        """One line for each kind: what it does, and its options with their defaults."""
        layers, judges = ([self._line(group, kind) for kind in self._kinds(group)] for group in (LAYERS, JUDGES))
        return "\n".join((*layers, JUDGED, *judges))

    def _check(self, place: str, table: object, group: str) -> None:
        """Refuse what is not on the menu before anything is made of it: making a layer may read a file."""
        kind = table.get("kind") if is_object(table) else None
        if not is_object(table) or kind not in self._kinds(group):
            raise InvalidPolicy(f"{place}.kind", kind, f"the kinds are {', '.join(self._kinds(group))}")
        for name, given in table.items():
            if is_object(given):
                self._check(f"{place}.{name}", given, JUDGES)
            elif name != "kind":
                self._check_plain(f"{place}.{name}", given, self._texts(group, str(kind), name))

    def _check_plain(self, place: str, given: object, texts: tuple[str, ...]) -> None:
        if isinstance(given, str) and given not in texts:
            hint = f"one of {', '.join(map(repr, texts))} is expected" if texts else "this option is not to be set"
            raise InvalidPolicy(place, given, hint)
        if is_array(given) or (isinstance(given, int | float) and not -_LARGEST <= given <= _LARGEST):
            raise InvalidPolicy(place, given, f"true, false or a number up to {_LARGEST} is expected")

    def _kinds(self, group: str) -> tuple[str, ...]:
        """Those that are both allowed and installed."""
        allowed = self.layers if group == LAYERS else self.judges
        return tuple(kind for kind in allowed if kind in plugins.names(group))

    def _texts(self, group: str, kind: str, name: str) -> tuple[str, ...]:
        """What a text option may say."""
        option = kind_of(group, kind).options.get(name)
        if option is not None and get_origin(option.hint) is Literal:
            return get_args(option.hint)
        installed = plugins.names(HANDBOOKS) if (kind, name) == ("handbook", "book") else ()
        said = [table.get(name) for policy in self.known for table in tables_of(policy) if table["kind"] == kind]
        texts = [text for text in said if isinstance(text, str) and not text.endswith(_FILES)]
        return tuple(dict.fromkeys((*installed, *texts)))

    def _any(self, group: str) -> dict[str, Any]:
        return {"anyOf": [self._schema(group, kind) for kind in self._kinds(group)]}

    def _schema(self, group: str, kind: str) -> dict[str, Any]:
        options = {name: self._option(group, kind, name) for name in kind_of(group, kind).options}
        offered = {name: schema for name, schema in options.items() if schema is not None}
        return _object({"kind": {"const": kind}, **offered}, "kind")

    def _option(self, group: str, kind: str, name: str) -> dict[str, Any] | None:
        """The schema of an option; None where it is not on the menu."""
        option = kind_of(group, kind).options[name]
        if option.nested:
            return self._any(JUDGES)
        texts = self._texts(group, kind, name)
        if texts:
            return {"enum": list(texts)}
        plain = option.hint in _PLAIN
        return TypeAdapter[Any](option.hint).json_schema() if plain else None

    def _line(self, group: str, kind: str) -> str:
        known = kind_of(group, kind)
        offered = [name for name in known.options if self._option(group, kind, name) is not None]
        told = ", ".join(f"{name} {known.options[name].written}".strip() for name in offered)
        return f"- {kind}: {known.summary} Options: {told or 'none'}"


def layers_of(policy: Policy) -> Sequence[JSON]:
    """The layers of a policy as JSON values."""
    layers: Sequence[JSON] = policy.to_json().get("layers", ())
    return layers


def tables_of(policy: Policy) -> Iterator[JSON]:
    """The tables of a policy that have a kind: its layers, and their judges."""
    for layer in layers_of(policy):
        yield layer
        yield from (option for option in layer.values() if is_object(option) and "kind" in option)


def _object(properties: dict[str, Any], *required: str) -> dict[str, Any]:
    return {"type": "object", "properties": properties, "required": list(required), "additionalProperties": False}


_PLAIN: tuple[Any, ...] = (bool, int, float, int | None, float | None, bool | None)

JUDGED = "Judges, for the option `judge` of vote and deepen_samples:"
