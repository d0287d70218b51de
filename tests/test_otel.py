"""Spans and metrics as a real OpenTelemetry SDK receives them."""

from __future__ import annotations

import gc
import json
import subprocess
import sys
import weakref
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import pytest
from opentelemetry import context, trace
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF
from opentelemetry.trace import SpanKind, StatusCode

from forethought.context import Usage
from forethought.errors import UpstreamStatus
from forethought.otel import EmitInference, OtelSink
from forethought.testing import FakeClock
from forethought.trace import Run, RunNode

SWITCH = "OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT"
CALL: dict[str, Any] = {
    "model": "qwen3",
    "provider": "openai",
    "server_address": "127.0.0.1",
    "server_port": 8080,
    "request_max_tokens": 100,
    "request_temperature": 0.7,
    "request_top_p": 0.9,
    "request_seed": 4,
    "stream": True,
}
QUESTION = [{"role": "user", "content": "secret question"}]
ANSWER = [{"role": "assistant", "content": "secret answer", "reasoning_content": "secret thought"}]


class Telemetry:
    """A real SDK that keeps what it is told in memory."""

    def __init__(self) -> None:
        self.exporter = InMemorySpanExporter()
        self.reader = InMemoryMetricReader()
        self.tracers = TracerProvider()
        self.tracers.add_span_processor(SimpleSpanProcessor(self.exporter))
        self.meters = MeterProvider(metric_readers=[self.reader])

    def sink(self, emit_inference_spans: EmitInference = "auto") -> OtelSink:
        return OtelSink(self.tracers, self.meters, emit_inference_spans)

    def spans(self) -> dict[str, ReadableSpan]:
        return {span.name: span for span in self.exporter.get_finished_spans()}

    def points(self, name: str) -> list[Any]:
        data = self.reader.get_metrics_data()
        scopes = [scope for resource in (data.resource_metrics if data else ()) for scope in resource.scope_metrics]
        metrics = [metric for scope in scopes for metric in scope.metrics if metric.name == name]
        return [point for metric in metrics for point in metric.data.data_points]


@pytest.fixture
def telemetry() -> Iterator[Telemetry]:
    telemetry = Telemetry()
    yield telemetry
    telemetry.tracers.shutdown()
    telemetry.meters.shutdown()


def ask(sink: OtelSink, **attributes: Any) -> Run:
    """A run of one layer and one call, that ends well."""
    clock = FakeClock()
    run = Run.start("economy", policy="economy", id="run_1", sinks=[sink], clock=clock, wall=lambda: 1000.0)
    vote = run.root.child("vote")
    clock.advance(1)
    call = vote.child("qwen3", "chat", **CALL, **attributes)
    clock.advance(2)
    call.annotate(response_id="r1", response_model="qwen3-8b", finish_reason="stop", time_to_first_chunk_s=0.25)
    call.spend(Usage(10, 5, 2, 4, 1), Decimal("0.01"))
    call.end("stop")
    vote.end("decided")
    run.root.end("stop")
    return run


class TestSpans:
    def test_each_node_is_a_span_named_by_operation_and_subject(self, telemetry: Telemetry) -> None:
        """The workflow, its layers and its calls are spans, and only calls leave the process."""
        ask(telemetry.sink())
        kinds = {name: span.kind for name, span in telemetry.spans().items()}
        assert kinds == {
            "invoke_workflow economy": SpanKind.INTERNAL,
            "invoke_agent vote": SpanKind.INTERNAL,
            "chat qwen3": SpanKind.CLIENT,
        }

    def test_a_local_model_is_called_inside(self, telemetry: Telemetry) -> None:
        """A call of a model in this process is INTERNAL."""
        ask(telemetry.sink(), local=True)
        assert telemetry.spans()["chat qwen3"].kind is SpanKind.INTERNAL

    def test_spans_hang_together_as_the_nodes_do(self, telemetry: Telemetry) -> None:
        """Parents come from the record, whatever span is current."""
        ask(telemetry.sink())
        spans = telemetry.spans()
        workflow, vote, call = (spans[name] for name in ("invoke_workflow economy", "invoke_agent vote", "chat qwen3"))
        assert workflow.parent is None
        assert vote.parent == workflow.context
        assert call.parent == vote.context

    def test_a_run_hangs_below_the_span_it_starts_in(self, telemetry: Telemetry) -> None:
        """The root's parent is current where the run starts; nothing is left current after it."""
        with telemetry.tracers.get_tracer("app").start_as_current_span("handler") as handler:
            ask(telemetry.sink())
            assert trace.get_current_span() is handler
        assert telemetry.spans()["invoke_workflow economy"].parent == handler.get_span_context()

    def test_spans_carry_the_times_of_the_record(self, telemetry: Telemetry) -> None:
        """Start and end are the record's own."""
        ask(telemetry.sink())
        call = telemetry.spans()["chat qwen3"]
        assert (call.start_time, call.end_time) == (1001 * 10**9, 1003 * 10**9)

    def test_a_call_carries_the_standard_attributes(self, telemetry: Telemetry) -> None:
        """Request, response, usage, server and cost have the conventions' names."""
        ask(telemetry.sink())
        assert dict(telemetry.spans()["chat qwen3"].attributes or {}) == {
            "gen_ai.operation.name": "chat",
            "gen_ai.provider.name": "openai",
            "gen_ai.request.model": "qwen3",
            "gen_ai.request.max_tokens": 100,
            "gen_ai.request.temperature": 0.7,
            "gen_ai.request.top_p": 0.9,
            "gen_ai.request.seed": 4,
            "gen_ai.request.stream": True,
            "gen_ai.response.id": "r1",
            "gen_ai.response.model": "qwen3-8b",
            "gen_ai.response.finish_reasons": ("stop",),
            "gen_ai.response.time_to_first_chunk": 0.25,
            "gen_ai.usage.input_tokens": 10,
            "gen_ai.usage.output_tokens": 5,
            "gen_ai.usage.reasoning.output_tokens": 2,
            "gen_ai.usage.cache_read.input_tokens": 4,
            "server.address": "127.0.0.1",
            "server.port": 8080,
            "operation.cost": 0.01,
            "forethought.end_reason": "stop",
        }

    def test_a_workflow_sums_usage_under_names_of_its_own(self, telemetry: Telemetry) -> None:
        """No back end can count the run twice: the sum is aggregated usage, and no model or cost is named."""
        ask(telemetry.sink())
        assert dict(telemetry.spans()["invoke_workflow economy"].attributes or {}) == {
            "gen_ai.operation.name": "invoke_workflow",
            "gen_ai.workflow.name": "economy",
            "gen_ai.aggregated_usage.input_tokens": 10,
            "gen_ai.aggregated_usage.output_tokens": 5,
            "gen_ai.aggregated_usage.reasoning.output_tokens": 2,
            "gen_ai.aggregated_usage.cache_read.input_tokens": 4,
            "forethought.requests": 1,
            "forethought.cost": 0.01,
            "forethought.run.id": "run_1",
            "forethought.policy": "economy",
            "forethought.end_reason": "stop",
        }

    def test_an_unknown_provider_is_still_named(self, telemetry: Telemetry) -> None:
        """The required provider name is `_OTHER` where nobody knows it."""
        Run.start("ask", sinks=[telemetry.sink()]).root.child("m", "chat").end()
        assert (telemetry.spans()["chat"].attributes or {})["gen_ai.provider.name"] == "_OTHER"

    def test_an_unknown_cost_is_left_out(self, telemetry: Telemetry) -> None:
        """A cost that is not known is no attribute, rather than 0."""
        call = Run.start("ask", sinks=[telemetry.sink()]).root.child("m", "chat", model="m")
        call.spend(Usage(1, 1, requests=1), None)
        call.end()
        assert "operation.cost" not in (telemetry.spans()["chat m"].attributes or {})

    def test_a_failure_sets_the_status(self, telemetry: Telemetry) -> None:
        """A failed call has error.type and status ERROR; one that was cancelled has neither."""
        root = Run.start("ask", sinks=[telemetry.sink()]).root
        root.child("a", "chat", model="a").end(error=UpstreamStatus(503, b""))
        root.child("b", "chat", model="b").end(error=GeneratorExit())
        spans = telemetry.spans()
        assert (spans["chat a"].attributes or {})["error.type"] == "503"
        assert spans["chat a"].status.status_code is StatusCode.ERROR
        assert "error.type" not in (spans["chat b"].attributes or {})
        assert spans["chat b"].status.status_code is StatusCode.UNSET

    def test_decisions_are_events(self, telemetry: Telemetry) -> None:
        """A decision is an event of its node's span, with numbers and names, and the time of the record."""
        run = Run.start("ask", sinks=[telemetry.sink()], clock=FakeClock(), wall=lambda: 7.0)
        run.root.decide("vote", agreement=0.75, decided_by="majority", over=True, text="")
        run.root.end()
        (event,) = telemetry.spans()["invoke_workflow ask"].events
        assert (event.name, event.timestamp) == ("forethought.vote", 7 * 10**9)
        assert dict(event.attributes or {}) == {
            "forethought.agreement": 0.75,
            "forethought.decided_by": "majority",
            "forethought.over": True,
        }

    def test_attributes_of_a_layer_keep_their_own_names(self, telemetry: Telemetry) -> None:
        """What the conventions have no name for is written under `forethought.`, a model's name included."""
        Run.start("ask", sinks=[telemetry.sink()]).root.child("vote", samples=8, model="m").end()
        attributes: Any = telemetry.spans()["invoke_agent vote"].attributes
        assert (attributes["forethought.samples"], attributes["forethought.model"]) == (8, "m")
        assert "gen_ai.request.model" not in attributes

    def test_an_empty_attribute_is_left_out(self, telemetry: Telemetry) -> None:
        """A model without a name is not exported as an empty one."""
        Run.start("ask", sinks=[telemetry.sink()]).root.child("m", "chat", model="").end()
        assert "gen_ai.request.model" not in (telemetry.spans()["chat"].attributes or {})

    def test_a_run_that_is_not_sampled_is_harmless(self) -> None:
        """Spans that nobody records cost no attributes and raise nothing."""
        exporter, tracers = InMemorySpanExporter(), TracerProvider(sampler=ALWAYS_OFF)
        tracers.add_span_processor(SimpleSpanProcessor(exporter))
        run = ask(OtelSink(tracers, Telemetry().meters))
        assert (list(run.errors), exporter.get_finished_spans()) == ([], ())
        tracers.shutdown()

    def test_two_runs_at_once_keep_apart(self, telemetry: Telemetry) -> None:
        """One sink serves many runs; each call hangs in its own."""
        sink = telemetry.sink()
        one, other = Run.start("one", sinks=[sink]).root, Run.start("other", sinks=[sink]).root
        calls = [root.child("m", "chat", model=root.name) for root in (one, other)]
        for node in (*calls, one, other):
            node.end()
        spans = telemetry.spans()
        for name in ("one", "other"):
            assert spans[f"chat {name}"].parent == spans[f"invoke_workflow {name}"].context


class TestContent:
    def converse(self, telemetry: Telemetry) -> str:
        """All that was exported of a run whose record holds content, as text."""
        ask(telemetry.sink(), input_messages=QUESTION, output_messages=ANSWER)
        run = Run.start("second", sinks=[telemetry.sink()])
        run.root.decide("vote", text="secret answer", votes={"secret answer": 3}, leaders=["secret"], agreement=1)
        run.root.child("vote", answer="secret answer").end()
        run.root.end()
        return "".join(span.to_json() for span in telemetry.spans().values())

    @pytest.mark.parametrize("switch", [None, "true", "NO_CONTENT", "EVENT_ONLY"])
    def test_content_stays_inside_by_default(
        self, telemetry: Telemetry, switch: str | None, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Nothing that was asked or said leaves without the standard opt-in, `true` included."""
        monkeypatch.delenv(SWITCH, raising=False)
        if switch is not None:
            monkeypatch.setenv(SWITCH, switch)
        exported = self.converse(telemetry)
        assert "secret" not in exported
        assert "forethought.agreement" in exported

    @pytest.mark.parametrize("switch", ["SPAN_ONLY", "SPAN_AND_EVENT"])
    def test_content_is_exported_on_the_opt_in(
        self, telemetry: Telemetry, switch: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """With the opt-in a call carries its messages in the conventions' form."""
        monkeypatch.setenv(SWITCH, switch)
        self.converse(telemetry)
        attributes: Any = telemetry.spans()["chat qwen3"].attributes
        assert json.loads(attributes["gen_ai.input.messages"]) == [
            {"role": "user", "parts": [{"type": "text", "content": "secret question"}]}
        ]
        assert json.loads(attributes["gen_ai.output.messages"]) == [
            {
                "role": "assistant",
                "parts": [
                    {"type": "reasoning", "content": "secret thought"},
                    {"type": "text", "content": "secret answer"},
                ],
                "finish_reason": "stop",
            }
        ]

    def test_decisions_tell_all_on_the_opt_in(self, telemetry: Telemetry, monkeypatch: pytest.MonkeyPatch) -> None:
        """With the opt-in the text and the tables of a decision are in its event."""
        monkeypatch.setenv(SWITCH, "SPAN_ONLY")
        self.converse(telemetry)
        (event,) = telemetry.spans()["invoke_workflow second"].events
        assert dict(event.attributes or {}) == {
            "forethought.text": "secret answer",
            "forethought.votes": '{"secret answer": 3}',
            "forethought.leaders": ("secret",),
            "forethought.agreement": 1,
        }

    def test_tool_calls_and_their_answers_are_parts(
        self, telemetry: Telemetry, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A tool call keeps id, name and arguments; arguments that are no JSON stay text."""
        monkeypatch.setenv(SWITCH, "SPAN_ONLY")
        good = {"id": "c1", "type": "function", "function": {"name": "add", "arguments": '{"a": 1}'}}
        torn = {"id": "c2", "type": "function", "function": {"name": "add", "arguments": '{"a'}}
        told = [
            {"role": "assistant", "content": None, "tool_calls": [good, torn]},
            {"role": "tool", "tool_call_id": "c1", "content": "1"},
        ]
        ask(telemetry.sink(), input_messages=told)
        attributes: Any = telemetry.spans()["chat qwen3"].attributes
        calls, answer = json.loads(attributes["gen_ai.input.messages"])
        assert calls["parts"] == [
            {"type": "tool_call", "id": "c1", "name": "add", "arguments": {"a": 1}},
            {"type": "tool_call", "id": "c2", "name": "add", "arguments": '{"a'},
        ]
        assert answer["parts"] == [{"type": "tool_call_response", "id": "c1", "response": "1"}]


class TestDuplicates:
    def calls(self, telemetry: Telemetry) -> tuple[bool, bool]:
        """Whether calls of a model were exported, as spans and as metrics."""
        return "chat qwen3" in telemetry.spans(), bool(telemetry.points("gen_ai.client.operation.duration"))

    def test_calls_can_be_left_to_another_layer(self, telemetry: Telemetry) -> None:
        """With `off` calls have neither span nor metrics; the workflow still sums their usage."""
        ask(telemetry.sink("off"))
        assert self.calls(telemetry) == (False, False)
        attributes: Any = telemetry.spans()["invoke_workflow economy"].attributes
        assert attributes["gen_ai.aggregated_usage.output_tokens"] == 5

    @pytest.mark.parametrize(("emit", "exported"), [("auto", False), ("on", True)])
    def test_auto_respects_a_call_that_is_traced_elsewhere(
        self, telemetry: Telemetry, emit: EmitInference, exported: bool
    ) -> None:
        """A call that is marked as traced by its client gets no second span, unless `on` insists."""
        ask(telemetry.sink(emit), traced_elsewhere=True)
        assert self.calls(telemetry) == (exported, exported)

    def test_auto_respects_an_instrumentation_around_the_run(self, telemetry: Telemetry) -> None:
        """Where an outer layer has announced the span of this call, ours are left out."""
        outer = context.set_value("opentelemetry.genai.client.inference.context", object())
        token = context.attach(outer)
        try:
            ask(telemetry.sink())
        finally:
            context.detach(token)
        assert self.calls(telemetry) == (False, False)


class TestMetrics:
    def test_a_call_is_measured(self, telemetry: Telemetry) -> None:
        """Duration and time to the first chunk in seconds, with attributes of few values."""
        ask(telemetry.sink())
        (duration,) = telemetry.points("gen_ai.client.operation.duration")
        (first,) = telemetry.points("gen_ai.client.operation.time_to_first_chunk")
        assert (duration.sum, first.sum) == (2, 0.25)
        assert dict(duration.attributes) == {
            "gen_ai.operation.name": "chat",
            "gen_ai.provider.name": "openai",
            "gen_ai.request.model": "qwen3",
            "gen_ai.response.model": "qwen3-8b",
            "server.address": "127.0.0.1",
            "server.port": 8080,
        }

    def test_tokens_are_measured_by_kind(self, telemetry: Telemetry) -> None:
        """Input and output tokens are two series of one histogram."""
        ask(telemetry.sink())
        points = telemetry.points("gen_ai.client.token.usage")
        assert {point.attributes["gen_ai.token.type"]: point.sum for point in points} == {"input": 10, "output": 5}

    def test_workflow_and_layers_are_measured(self, telemetry: Telemetry) -> None:
        """Each has a duration under its own name."""
        ask(telemetry.sink())
        (workflow,) = telemetry.points("gen_ai.invoke_workflow.duration")
        (agent,) = telemetry.points("gen_ai.invoke_agent.duration")
        assert (workflow.sum, dict(workflow.attributes)) == (3, {"gen_ai.workflow.name": "economy"})
        assert (agent.sum, dict(agent.attributes)) == (3, {"gen_ai.agent.name": "vote"})

    def test_buckets_are_those_of_the_conventions(self, telemetry: Telemetry) -> None:
        """Seconds double from 0.01 to 81.92, tokens go up by four from 1 to 67108864."""
        ask(telemetry.sink())
        seconds = telemetry.points("gen_ai.client.operation.duration")[0].explicit_bounds
        tokens = telemetry.points("gen_ai.client.token.usage")[0].explicit_bounds
        assert (seconds[0], seconds[-1], len(seconds)) == (0.01, 81.92, 14)
        assert (tokens[0], tokens[-1], len(tokens)) == (1, 67108864, 14)

    def test_a_failed_call_is_measured_with_its_error(self, telemetry: Telemetry) -> None:
        """Failures have a duration but no tokens."""
        call = Run.start("ask", sinks=[telemetry.sink()]).root.child("m", "chat", model="m")
        call.end(error=UpstreamStatus(500, b""))
        (duration,) = telemetry.points("gen_ai.client.operation.duration")
        assert duration.attributes["error.type"] == "500"
        assert telemetry.points("gen_ai.client.token.usage") == []


LATE = """
from opentelemetry import trace
from forethought.otel import OtelSink
from forethought.trace import Run

sink = OtelSink()
def ask(name):
    run = Run.start(name, sinks=[sink])
    run.root.child("vote").end()
    return run

before = ask("before")
before.root.end()
across = ask("across")
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
exporter, provider = InMemorySpanExporter(), TracerProvider()
provider.add_span_processor(SimpleSpanProcessor(exporter))
trace.set_tracer_provider(provider)
after = ask("after")
across.root.child("late").end()
across.root.end()
after.root.end()
assert not (before.errors or across.errors or after.errors)
print(",".join(span.name for span in exporter.get_finished_spans()))
"""


@pytest.mark.real
def test_a_provider_that_is_set_later_is_taken_up() -> None:
    """Runs before it leave no trace, one that spans the moment leaves no torn trace, those after it are whole."""
    done = subprocess.run([sys.executable, "-c", LATE], capture_output=True, text=True, timeout=60)
    assert (done.stderr, done.stdout.strip()) == ("", "invoke_agent vote,invoke_workflow after")


def test_a_run_without_an_end_leaves_nothing_behind(telemetry: Telemetry) -> None:
    """A record that is dropped while open is not kept alive by the sink, which goes on serving."""
    sink = telemetry.sink()
    node: RunNode = Run.start("dropped", sinks=[sink]).root.child("vote")
    node.decide("step")
    gone = weakref.ref(node)
    del node
    gc.collect()
    assert gone() is None
    ask(sink)
    assert set(telemetry.spans()) == {"invoke_workflow economy", "invoke_agent vote", "chat qwen3"}
