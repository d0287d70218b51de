"""The record of a run: its tree, its times, what it says to sinks, and its JSON."""

from __future__ import annotations

import asyncio
import json
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from forethought.context import Usage
from forethought.errors import BudgetExceeded, UpstreamStatus
from forethought.ports import Moment
from forethought.testing import CapturingSink, FakeClock
from forethought.trace import MAX_DECISIONS, Decided, Ended, Run, RunNode, Started, capture_content

SWITCH = "OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT"


class Broken:
    """A sink that always raises."""

    def __call__(self, moment: Moment, /) -> None:
        raise LookupError("no collector")


class TestRun:
    def test_a_run_has_an_id_of_its_own(self) -> None:
        """Ids are `run_` and 24 hexadecimal digits, and two runs differ; one that is given is kept."""
        one, other = Run.start("ask"), Run.start("ask")
        assert one.id != other.id
        assert one.id.startswith("run_")
        assert len(bytes.fromhex(one.id.removeprefix("run_"))) == 12
        assert Run.start("ask", id="run_7").id == "run_7"

    def test_every_node_knows_its_run(self) -> None:
        """A node, however deep, tells the id of the run that it is in."""
        run = Run.start("ask")
        assert run.root.child("vote").child("chat").run_id == run.id

    def test_the_root_is_the_workflow(self) -> None:
        """The run's root node carries the run's name and the workflow operation."""
        root = Run.start("economy").root
        assert (root.name, root.operation, root.parent) == ("economy", "invoke_workflow", None)

    def test_times_are_seconds_since_the_run_began(self) -> None:
        """A node starts and ends on the monotonic clock; the run knows the wall time of its own start."""
        clock = FakeClock(50)
        run = Run.start("ask", clock=clock, wall=lambda: 1000.5)
        clock.advance(2)
        node = run.root.child("vote")
        assert node.duration_s is None
        clock.advance(3)
        node.end()
        assert (run.started_at, node.started, node.ended, node.duration_s) == (1000.5, 2, 5, 3)


class TestSpending:
    def test_a_call_is_charged_to_every_node_above(self) -> None:
        """Usage and cost of a node include everything below it, and nothing beside it."""
        root = Run.start("ask").root
        vote = root.child("vote")
        first, second = vote.child("m", "chat"), vote.child("m", "chat")
        first.spend(Usage(10, 5, requests=1), Decimal("0.1"))
        second.spend(Usage(10, 7, 3, requests=1), Decimal("0.2"))
        assert first.usage == Usage(10, 5, requests=1)
        assert root.usage == vote.usage == Usage(20, 12, 3, requests=2)
        assert (first.cost, vote.cost, root.cost) == (Decimal("0.1"), Decimal("0.3"), Decimal("0.3"))

    def test_one_unknown_cost_makes_the_sum_unknown(self) -> None:
        """A cost that is not known is None above, and never counts as 0; siblings keep theirs."""
        root = Run.start("ask").root
        known, unknown = root.child("a", "chat"), root.child("b", "chat")
        unknown.spend(Usage(1, 1), None)
        known.spend(Usage(1, 1), Decimal(1))
        assert (root.cost, unknown.cost, known.cost) == (None, None, 1)


class TestEnding:
    def test_ending_twice_changes_nothing(self) -> None:
        """The first end decides reason and time, and sinks hear of it once."""
        clock, sink = FakeClock(), CapturingSink()
        node = Run.start("ask", sinks=[sink], clock=clock).root.child("vote")
        node.end("decided")
        clock.advance(1)
        node.end("late", ValueError())
        assert (node.end_reason, node.error_type, node.ended) == ("decided", "", 0)
        assert sum(isinstance(moment, Ended) for moment in sink.moments) == 1

    def test_what_is_open_when_the_run_ends_is_closed(self) -> None:
        """Open nodes end with their run, children before parents, for the reason `closed`."""
        sink = CapturingSink()
        root = Run.start("ask", sinks=[sink]).root
        vote = root.child("vote")
        call = vote.child("m", "chat")
        done = vote.child("m", "chat")
        done.end("stop")
        root.end("stop")
        assert [node.end_reason for node in (call, vote, done, root)] == ["closed", "closed", "stop", "stop"]
        assert [m.node for m in sink.moments if isinstance(m, Ended)] == [done, call, vote, root]

    def test_ending_a_layer_leaves_its_calls_open(self) -> None:
        """Only the end of the run closes what is still open."""
        vote = Run.start("ask").root.child("vote")
        call = vote.child("m", "chat")
        vote.end("decided")
        assert call.ended is None

    @pytest.mark.parametrize("error", [asyncio.CancelledError(), GeneratorExit()])
    def test_a_cancelled_branch_is_no_failure(self, error: BaseException) -> None:
        """Cancellation is a reason to end, not an error."""
        node = Run.start("ask").root.child("vote")
        node.end(error=error)
        assert (node.end_reason, node.error_type) == ("cancelled", "")

    @pytest.mark.parametrize(
        ("error", "name"),
        [(BudgetExceeded("run", "request_limit", 1, 1), "BudgetExceeded"), (UpstreamStatus(429, b"slow down"), "429")],
    )
    def test_a_failure_has_a_type_of_few_values(self, error: Exception, name: str) -> None:
        """An error is known by its class, and by its status where the upstream gave one."""
        node = Run.start("ask").root.child("m", "chat")
        node.end(error=error)
        assert (node.end_reason, node.error_type) == ("error", name)


class TestDecisions:
    def test_a_decision_keeps_facts_and_time(self) -> None:
        """What was decided is recorded with its facts, seconds after the run began."""
        clock = FakeClock()
        node = Run.start("ask", clock=clock).root.child("vote")
        clock.advance(1.5)
        node.decide("stopped", agreement=0.75)
        (decision,) = node.decisions
        assert (decision.what, decision.facts, decision.at) == ("stopped", {"agreement": 0.75}, 1.5)

    def test_decisions_are_bounded_and_what_is_dropped_is_counted(self) -> None:
        """A node keeps its last decisions, and says how many it forgot."""
        node = Run.start("ask").root
        for index in range(MAX_DECISIONS + 3):
            node.decide("step", index=index)
        assert len(node.decisions) == MAX_DECISIONS
        assert node.decisions[0].facts == {"index": 3}
        assert node.to_json()["decisions_dropped"] == 3


class TestSinks:
    def test_sinks_hear_each_moment_in_order(self) -> None:
        """Start, decision and end are told as they happen, with their node."""
        sink = CapturingSink()
        run = Run.start("ask", sinks=[sink])
        node = run.root.child("vote")
        node.decide("stopped")
        node.end()
        assert sink.moments == [Started(run.root), Started(node), Decided(node, node.decisions[0]), Ended(node)]

    def test_a_sink_sees_a_node_in_its_tree(self) -> None:
        """When a start is told, the node already hangs in the run."""
        seen: list[bool] = []

        def sink(moment: Any, /) -> None:
            if isinstance(moment, Started):
                node = moment.node
                seen.append(node in node.parent.children if node.parent else node is node.run.root)

        Run.start("ask", sinks=[sink]).root.child("vote")
        assert seen == [True, True]

    def test_a_sink_that_raises_does_not_disturb_the_run(self) -> None:
        """Its error is kept in the record, the other sinks are still told."""
        sink = CapturingSink()
        run = Run.start("ask", sinks=[Broken(), sink])
        run.root.end("stop")
        assert len(sink.moments) == 2
        assert run.to_json()["sink_errors"] == ["LookupError: no collector"] * 2

    def test_errors_of_sinks_are_bounded(self) -> None:
        """A sink that always raises does not fill the memory."""
        run = Run.start("ask", sinks=[Broken()])
        for _ in range(100):
            run.root.decide("step")
        assert len(run.errors) == 20


class TestJson:
    def test_the_record_is_a_tree_of_json_values(self) -> None:
        """A run exports schema, identity and every node with usage, money as text, decisions and children."""
        clock = FakeClock()
        run = Run.start("ask", policy="economy", id="run_1", clock=clock, wall=lambda: 100.0)
        call = run.root.child("m", "chat", model="m")
        clock.advance(1)
        call.annotate(response_id="r1")
        call.spend(Usage(10, 5, 2, 1, 1), Decimal("0.10"))
        call.end("stop")
        run.root.end("stop")
        record = json.loads(json.dumps(run.to_json(), allow_nan=False))
        assert record["schema"] == "forethought.run/1"
        assert (record["id"], record["policy"], record["started_at"]) == ("run_1", "economy", 100.0)
        (child,) = record["root"]["children"]
        assert child["attributes"] == {"model": "m", "response_id": "r1"}
        assert child["usage"]["completion_tokens"] == 5
        assert child["usage"]["requests"] == 1
        assert (child["cost"], child["duration_s"], child["end_reason"]) == ("0.10", 1, "stop")

    def test_an_open_node_has_no_duration(self) -> None:
        """A run can be exported while it goes on."""
        assert Run.start("ask").to_json()["root"]["duration_s"] is None

    @given(
        st.recursive(
            st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.decimals() | st.dates(),
            lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner) | st.tuples(inner, inner),
            max_leaves=10,
        )
    )
    def test_any_fact_becomes_a_json_value(self, fact: Any) -> None:
        """What a layer records can always be exported, infinities and dates included."""
        run = Run.start("ask")
        run.root.decide("step", fact=fact)
        json.dumps(run.to_json(), allow_nan=False)


@pytest.mark.parametrize("value", ["SPAN_ONLY", "SPAN_AND_EVENT", "span_only"])
def test_content_is_captured_on_the_standard_opt_in(value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The switch names the places that content may go to."""
    monkeypatch.setenv(SWITCH, value)
    assert capture_content()


@pytest.mark.parametrize("value", ["", "true", "1", "NO_CONTENT", "EVENT_ONLY"])
def test_anything_else_captures_no_content(value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The older `true` is no opt-in, nor is content for events alone."""
    monkeypatch.setenv(SWITCH, value)
    assert not capture_content()


def test_a_node_shows_what_it_is() -> None:
    """The repr names operation, name and how it ended."""
    node: RunNode = Run.start("ask").root
    assert repr(node) == "<RunNode 1 invoke_workflow 'ask' open>"
