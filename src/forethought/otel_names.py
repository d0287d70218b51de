"""OpenTelemetry's GenAI names, in one table, and how a node of the record reads in them.

The names follow the GenAI semantic conventions of November 2026 for attributes, and for metrics the names that back
ends read today. What they have no name for is written under `forethought.`.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final, TypeAlias, cast

from opentelemetry.trace import SpanKind
from opentelemetry.util.types import AttributeValue

from .otel_content import input_messages, output_messages
from .trace import RunNode, capture_content

Attributes: TypeAlias = dict[str, AttributeValue]

INFERENCE: Final = frozenset({"chat", "text_completion", "generate_content", "embeddings"})
"""Operations that are one call of a model; with a model attribute elsewhere, back ends would price it twice."""

OTHER: Final = "_OTHER"
"""The conventions' value for what has a name that is not known."""

_SUBJECT: Final = {"invoke_workflow": "gen_ai.workflow.name", "execute_tool": "gen_ai.tool.name"}
_AGENT: Final = "gen_ai.agent.name"

_CALL: Final = {
    "model": "gen_ai.request.model",
    "provider": "gen_ai.provider.name",
    "server_address": "server.address",
    "server_port": "server.port",
    "request_max_tokens": "gen_ai.request.max_tokens",
    "request_temperature": "gen_ai.request.temperature",
    "request_top_p": "gen_ai.request.top_p",
    "request_seed": "gen_ai.request.seed",
    "stream": "gen_ai.request.stream",
    "response_id": "gen_ai.response.id",
    "response_model": "gen_ai.response.model",
    "time_to_first_chunk_s": "gen_ai.response.time_to_first_chunk",
}

_OF_METRICS: Final = ("model", "provider", "server_address", "server_port", "response_model")

_APART: Final = frozenset({"finish_reason", "local", "traced_elsewhere", "input_messages", "output_messages"})
"""Attributes of the record that are not copied one to one."""

_NAMES: Final = frozenset(
    {
        "by",
        "decided_by",
        "finish_reason",
        "judge",
        "kind",
        "layer",
        "limit",
        "model",
        "policy",
        "reason",
        "scope",
        "stop_reason",
    }
)
"""Facts whose text is a name of ours. Other text may be what was asked or said, and needs the opt-in of messages."""


def span_name(node: RunNode) -> str:
    """`{operation} {model}` of a call, `{operation} {name}` of anything else."""
    subject = node.attributes.get("model") if node.operation in INFERENCE else node.name
    return f"{node.operation} {subject}" if subject else node.operation


def span_kind(node: RunNode) -> SpanKind:
    """CLIENT where a call leaves the process."""
    remote = node.operation in INFERENCE and not node.attributes.get("local")
    return SpanKind.CLIENT if remote else SpanKind.INTERNAL


def start_attributes(node: RunNode) -> Attributes:
    """What is known when a node opens, for samplers; never usage, outcome or content."""
    attributes: Attributes = {"gen_ai.operation.name": node.operation}
    if node.operation in INFERENCE:
        attributes["gen_ai.provider.name"] = OTHER
        attributes |= {_CALL[name]: _plain(value) for name, value in _set(node.attributes) if name in _CALL}
    else:
        attributes[_SUBJECT.get(node.operation, _AGENT)] = node.name
    if node.parent is None:
        attributes["forethought.run.id"] = node.run.id
        if node.run.policy:
            attributes["forethought.policy"] = node.run.policy
    return attributes


def end_attributes(node: RunNode) -> Attributes:
    """All of a node that has ended: attributes, usage, cost, outcome, and content where it is asked for."""
    attributes = start_attributes(node) | dict(_usage(node)) | dict(_own(node)) | dict(_content(node))
    finish = node.attributes.get("finish_reason")
    if finish:
        attributes["gen_ai.response.finish_reasons"] = (str(finish),)
    if node.cost is not None and node.usage.requests:
        # Viewers sum operation.cost over a trace, so only calls carry it.
        attributes["operation.cost" if node.operation in INFERENCE else "forethought.cost"] = float(node.cost)
    if node.end_reason:
        attributes["forethought.end_reason"] = node.end_reason
    if node.error_type:
        attributes["error.type"] = node.error_type
    return attributes


def metric_attributes(node: RunNode) -> Attributes:
    """The few attributes, of few values each, that metrics of a node carry."""
    attributes: Attributes = {}
    if node.operation in INFERENCE:
        attributes = {"gen_ai.operation.name": node.operation, "gen_ai.provider.name": OTHER}
        known = {name: node.attributes.get(name) for name in _OF_METRICS}
        attributes |= {_CALL[name]: _plain(value) for name, value in _set(known)}
    else:
        attributes[_SUBJECT.get(node.operation, _AGENT)] = node.name
    if node.error_type:
        attributes["error.type"] = node.error_type
    return attributes


def own_attributes(facts: Mapping[str, Any]) -> Attributes:
    """What has no name in the conventions: numbers and names, and other text only where content is asked for."""
    content = capture_content()
    return {
        f"forethought.{name}": _plain(value)
        for name, value in _set(facts)
        if content or name in _NAMES or isinstance(value, int | float)
    }


def _usage(node: RunNode) -> Iterator[tuple[str, int]]:
    usage = node.usage
    if not usage.requests and not usage.total_tokens:
        return
    kind = "usage" if node.operation in INFERENCE else "aggregated_usage"
    yield f"gen_ai.{kind}.input_tokens", usage.prompt_tokens
    yield f"gen_ai.{kind}.output_tokens", usage.completion_tokens
    if usage.reasoning_tokens:
        yield f"gen_ai.{kind}.reasoning.output_tokens", usage.reasoning_tokens
    if usage.cached_tokens:
        yield f"gen_ai.{kind}.cache_read.input_tokens", usage.cached_tokens
    if kind != "usage":
        yield "forethought.requests", usage.requests


def _own(node: RunNode) -> Iterator[tuple[str, AttributeValue]]:
    """Attributes that the conventions have no name for."""
    known = _CALL if node.operation in INFERENCE else {}
    own = {name: value for name, value in node.attributes.items() if name not in known and name not in _APART}
    yield from own_attributes(own).items()


def _content(node: RunNode) -> Iterator[tuple[str, str]]:
    asked, said = node.attributes.get("input_messages"), node.attributes.get("output_messages")
    if (asked or said) and capture_content():
        if asked:
            yield "gen_ai.input.messages", json.dumps(input_messages(asked), ensure_ascii=False)
        if said:
            reason = str(node.attributes.get("finish_reason") or "")
            yield "gen_ai.output.messages", json.dumps(output_messages(said, reason), ensure_ascii=False)


def _set(values: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    return ((name, value) for name, value in values.items() if value is not None and value != "")


def _plain(value: object) -> AttributeValue:
    """A value that a span may carry: itself, a list of strings, or JSON."""
    if isinstance(value, str | bool | int | float):
        return value
    if isinstance(value, Sequence) and all(isinstance(each, str) for each in cast("Sequence[object]", value)):
        return cast("Sequence[str]", value)
    return json.dumps(value, ensure_ascii=False, default=str)
