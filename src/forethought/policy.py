"""A policy is a value: a budget and a list of layers, outermost first; it equals itself through TOML and JSON."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import Field, dataclass, field, fields, is_dataclass
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any, Self, get_type_hints

import tomli_w
from pydantic import PydanticSchemaGenerationError, TypeAdapter, ValidationError

from . import plugins
from .budget import Budget
from .errors import InvalidPolicy
from .ports import KINDS, Bound, Bounded, Layer
from .toml_lines import line_of, syntax_error
from .wire import JSON, is_array, is_object

LAYERS = "forethought.layers"
JUDGES = "forethought.judges"
POLICIES = "forethought.policies"


@dataclass(frozen=True, slots=True)
class Policy:
    """How to think: `layers`, outermost first, under `budget`; `when` says when to use it."""

    name: str
    when: str = ""
    budget: Budget = field(default_factory=Budget)
    layers: tuple[Layer, ...] = ()

    @classmethod
    def from_json(cls, value: object) -> Self:
        """Read what `to_json` writes; raises InvalidPolicy naming the first field that is unknown or wrong."""
        table = _table("policy", value)
        _known("", table, [f.name for f in fields(cls)])
        layers = table.get("layers", [])
        if not is_array(layers):
            raise InvalidPolicy("layers", layers, "a list of tables is expected, outermost first")
        return cls(
            _text("name", table.get("name")),
            _text("when", table.get("when", "")),
            Budget.from_json(_table("budget", table.get("budget", {}))),
            tuple(_plugged(f"layers[{index}]", layer, LAYERS) for index, layer in enumerate(layers)),
        )

    @classmethod
    def from_toml(cls, text: str, *, source: str = "policy") -> Self:
        """Read a TOML document; an InvalidPolicy names the line in `source` too."""
        try:
            return cls.from_json(tomllib.loads(text))
        except tomllib.TOMLDecodeError as error:
            raise syntax_error(error, text, source) from None
        except InvalidPolicy as wrong:
            line = line_of(text, wrong.field)
            raise InvalidPolicy(wrong.field, wrong.value, wrong.hint, source=source, line=line) from None

    def to_json(self) -> dict[str, Any]:
        """The policy as JSON values; what has its default is left out."""
        table: dict[str, Any] = {"name": self.name, "when": self.when, "budget": self.budget.to_json()}
        table["layers"] = [_dumped(layer) for layer in self.layers]
        return {name: value for name, value in table.items() if value or name == "name"}

    def to_toml(self) -> str:
        return tomli_w.dumps(self.to_json())

    def worst_case(self, inner: Bound | None = None) -> Bound:
        """The most that one answer can take, computed without asking anything; `inner` is what one call takes."""
        bound = inner or Bound(1, self.budget.output_tokens_limit)
        for layer in reversed(self.layers):
            bound = layer.worst_case(bound) if isinstance(layer, Bounded) else bound
        calls, tokens = self.budget.request_limit, self.budget.output_tokens_limit
        requests = bound.requests if calls is None else min(bound.requests, calls)
        return Bound(requests, bound.output_tokens if tokens is None else tokens)


def load(policy: str | Path | Policy, /) -> Policy:
    """A policy by value, by name, or from a `.toml` or `.json` file; raises InvalidPolicy."""
    if isinstance(policy, Policy):
        return policy
    if isinstance(policy, Path) or policy.endswith((".toml", ".json")):
        return _read(Path(policy))
    known = _shipped()
    if policy not in known:
        raise InvalidPolicy("policy", policy, f"the policies are {', '.join(known)}, or the path of a .toml file")
    return known[policy]


@cache
def available() -> Mapping[str, Policy]:
    """Every policy that an installed package ships, by name, the cheapest first."""
    return dict(sorted(_shipped().items(), key=lambda item: item[1].worst_case().requests))


@cache
def _shipped() -> Mapping[str, Policy]:
    """The same in the order of names; apart, because what one takes at worst may depend on others that it names."""
    found: dict[str, Policy] = {}
    for package in plugins.names(POLICIES):
        for file in resources.files(plugins.load(POLICIES, package)).iterdir():
            if file.name.endswith(".toml"):
                policy = Policy.from_toml(file.read_text(encoding="utf-8"), source=file.name)
                found[policy.name] = policy
    return dict(sorted(found.items()))


def _read(path: Path) -> Policy:
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidPolicy("policy", str(path), f"the file cannot be read: {error}") from error
    if path.suffix != ".json":
        return Policy.from_toml(text, source=str(path))
    try:
        value = TypeAdapter(Any).validate_json(text)
    except ValidationError as error:
        raise InvalidPolicy("policy", str(path), error.errors()[0]["msg"]) from None
    return Policy.from_json(value)


def _plugged(place: str, value: object, group: str) -> Any:
    """The dataclass that `kind` names, with its options checked one by one."""
    table = dict(_table(place, value))
    kind = _text(f"{place}.kind", table.pop("kind", None))
    try:
        made = plugins.load(group, kind)
    except plugins.UnknownPlugin as unknown:
        raise InvalidPolicy(f"{place}.kind", kind, f"the kinds are {', '.join(unknown.known)}") from None
    hints = get_type_hints(made)
    _known(f"{place}.", table, [f.name for f in fields(made) if not _in_code(f)])
    groups = {f.name: f.metadata.get(KINDS, JUDGES) for f in fields(made)}
    options = {name: _option(f"{place}.{name}", given, hints[name], groups[name]) for name, given in table.items()}
    try:
        return made(**options)
    except InvalidPolicy as wrong:
        name = wrong.field.rpartition(".")[2]
        raise InvalidPolicy(f"{place}.{name}", wrong.value, wrong.hint) from None
    except TypeError as error:
        raise InvalidPolicy(place, value, str(error)) from None


def _option(place: str, value: Any, hint: Any, group: str) -> Any:
    if is_object(value) and "kind" in value:
        return _plugged(place, value, group)
    try:
        return TypeAdapter(hint).validate_python(value, strict=True)
    except PydanticSchemaGenerationError:
        raise InvalidPolicy(place, value, "a table with a `kind` is expected") from None
    except ValidationError as error:
        raise InvalidPolicy(place, value, error.errors()[0]["msg"]) from None


def _dumped(value: Any) -> Any:
    if not is_dataclass(value) or isinstance(value, type):
        return value
    for option in fields(value):
        if _in_code(option) and getattr(value, option.name) is not None:
            raise InvalidPolicy(
                option.name, getattr(value, option.name), "it is given in code, and no file can hold it"
            )
    default: Any = type(value)()
    options = {f.name: getattr(value, f.name) for f in fields(value)}
    changed = {n: _dumped(v) for n, v in options.items() if v is not None and v != getattr(default, n)}
    kind = getattr(value, "kind", None)
    return changed if kind is None else {"kind": kind, **changed}


def _in_code(option: Field[Any]) -> bool:
    return bool(option.metadata.get("in_code"))


def _table(place: str, value: object) -> JSON:
    if not is_object(value):
        raise InvalidPolicy(place, value, "a table is expected")
    return value


def _text(place: str, value: object) -> str:
    if not isinstance(value, str):
        raise InvalidPolicy(place, value, "a string is expected")
    return value


def _known(place: str, table: JSON, names: list[str]) -> None:
    for name in table:
        if name not in names:
            raise InvalidPolicy(f"{place}{name}", table[name], f"the fields are {', '.join(names)}")
