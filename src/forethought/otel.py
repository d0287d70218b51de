"""A sink that turns the record of a run into OpenTelemetry spans and metrics.

It needs `opentelemetry-api` alone. Until a real provider is set it does nothing, at next to no cost; a run that begins
after one was set is traced.
"""

from __future__ import annotations

from typing import Any, Final, Literal, TypeAlias
from weakref import WeakKeyDictionary, WeakSet

from opentelemetry import context, metrics, trace
from opentelemetry.context import Context
from opentelemetry.metrics import Histogram, MeterProvider
from opentelemetry.trace import Span, Status, StatusCode, Tracer, TracerProvider

from .otel_names import (
    INFERENCE,
    end_attributes,
    metric_attributes,
    own_attributes,
    span_kind,
    span_name,
    start_attributes,
)
from .ports import Moment
from .trace import Decided, Decision, Ended, RunNode, Started

EmitInference: TypeAlias = Literal["auto", "on", "off"]

_SCOPE: Final = "forethought"
_INFERENCE_CONTEXT: Final = "opentelemetry.genai.client.inference.context"
"""Under this key of the OpenTelemetry context an outer instrumentation says that it has the span of this call."""

_SECONDS: Final = ("s", tuple(0.01 * 2**power for power in range(14)))
_TOKENS: Final = ("{token}", tuple(4**power for power in range(14)))
_HISTOGRAMS: Final[dict[str, tuple[str, tuple[float, ...]]]] = {
    "gen_ai.client.operation.duration": _SECONDS,
    "gen_ai.client.operation.time_to_first_chunk": _SECONDS,
    "gen_ai.client.token.usage": _TOKENS,
    "gen_ai.invoke_agent.duration": _SECONDS,
    "gen_ai.invoke_workflow.duration": _SECONDS,
    "gen_ai.execute_tool.duration": _SECONDS,
}


class OtelSink:
    """Spans and metrics of every run it is told of; without providers, those that are set globally.

    A run's root becomes a child of the span that is current where the run starts; below it spans are linked as
    the nodes are, and no span is ever made current. `emit_inference_spans` says whether calls of a model get a span
    and metrics of their own: "auto" leaves them out where the run or the call is marked `traced_elsewhere`, or
    where an outer instrumentation has announced that it traces the call.
    """

    def __init__(
        self,
        tracer_provider: TracerProvider | None = None,
        meter_provider: MeterProvider | None = None,
        emit_inference_spans: EmitInference = "auto",
    ) -> None:
        self._tracer_provider = tracer_provider
        self._meter_provider = meter_provider
        self._emit = emit_inference_spans
        self._tracer: Tracer | None = None
        self._histograms: dict[str, Histogram] = {}
        # Weak, so that a run that is dropped without an end leaves nothing behind.
        self._spans: WeakKeyDictionary[RunNode, Span] = WeakKeyDictionary()
        self._covered: WeakSet[RunNode] = WeakSet()

    def __call__(self, moment: Moment, /) -> None:
        if isinstance(moment, Started):
            if moment.node.parent is None:
                self._begin(moment.node)
            elif self._tracer is not None:
                self._open(moment.node, self._tracer)
        elif isinstance(moment, Ended):
            if self._histograms:
                self._measure(moment.node)
            if self._tracer is not None:
                self._close(moment.node)
        elif isinstance(moment, Decided) and self._tracer is not None:
            self._tell(moment.node, moment.decision)

    def _begin(self, root: RunNode) -> None:
        self._wake()
        if self._tracer is None and not self._histograms:
            return
        around = context.get_current()
        if context.get_value(_INFERENCE_CONTEXT, around) is not None:
            self._covered.add(root)
        if self._tracer is not None:
            self._start_span(root, self._tracer, around)

    def _wake(self) -> None:
        """Take up the providers as soon as they are real; what is set globally is set once."""
        if self._tracer is None:
            tracers = self._tracer_provider or trace.get_tracer_provider()
            if _real(tracers):
                self._tracer = tracers.get_tracer(_SCOPE)
        if not self._histograms:
            meters = self._meter_provider or metrics.get_meter_provider()
            if _real(meters):
                self._histograms = _histograms(meters)

    def _open(self, node: RunNode, tracer: Tracer) -> None:
        parent = self._around(node)
        if parent is not None and self._emits(node):
            self._start_span(node, tracer, trace.set_span_in_context(parent))

    def _start_span(self, node: RunNode, tracer: Tracer, around: Context) -> None:
        self._spans[node] = tracer.start_span(
            span_name(node),
            context=around,
            kind=span_kind(node),
            attributes=start_attributes(node),
            start_time=_unix_ns(node, node.started),
        )

    def _close(self, node: RunNode) -> None:
        span = self._spans.pop(node, None)
        if span is None:
            return
        if span.is_recording():
            span.set_attributes(end_attributes(node))
            if node.error_type:
                span.set_status(Status(StatusCode.ERROR))
        span.end(None if node.ended is None else _unix_ns(node, node.ended))

    def _tell(self, node: RunNode, decision: Decision) -> None:
        span = self._spans.get(node)
        if span is not None and span.is_recording():
            name, facts = f"forethought.{decision.what}", own_attributes(decision.facts)
            span.add_event(name, facts, _unix_ns(node, decision.at))

    def _measure(self, node: RunNode) -> None:
        if not self._emits(node):
            return
        call = node.operation in INFERENCE
        attributes = metric_attributes(node)
        self._record(f"gen_ai.{'client.operation' if call else node.operation}.duration", node.duration_s, attributes)
        if call:
            self._record(
                "gen_ai.client.operation.time_to_first_chunk",
                node.attributes.get("time_to_first_chunk_s"),
                attributes,
            )
            for kind, tokens in (("input", node.usage.prompt_tokens), ("output", node.usage.completion_tokens)):
                if node.usage.requests or tokens:
                    self._record("gen_ai.client.token.usage", tokens, {**attributes, "gen_ai.token.type": kind})

    def _record(self, name: str, value: float | None, attributes: dict[str, Any]) -> None:
        histogram = self._histograms.get(name)
        if histogram is not None and value is not None:
            histogram.record(value, attributes)

    def _emits(self, node: RunNode) -> bool:
        if node.operation not in INFERENCE or self._emit == "on":
            return True
        root = node.run.root
        marked = node.attributes.get("traced_elsewhere") or root.attributes.get("traced_elsewhere")
        return self._emit == "auto" and not marked and root not in self._covered

    def _around(self, node: RunNode) -> Span | None:
        """The span of the nearest node above that has one; None in a run that began untraced."""
        above = node.parent
        while above is not None:
            span = self._spans.get(above)
            if span is not None:
                return span
            above = above.parent
        return None


def _real(provider: object) -> bool:
    """Whether a provider does anything: those that the API package itself defines do not."""
    return not type(provider).__module__.startswith(("opentelemetry.trace", "opentelemetry.metrics"))


def _histograms(meters: MeterProvider) -> dict[str, Histogram]:
    meter = meters.get_meter(_SCOPE)
    return {
        name: meter.create_histogram(name, unit, explicit_bucket_boundaries_advisory=buckets)
        for name, (unit, buckets) in _HISTOGRAMS.items()
    }


def _unix_ns(node: RunNode, at: float) -> int:
    return int((node.run.started_at + at) * 1e9)
