"""Confidence-guided compression."""

from __future__ import annotations

import json
from dataclasses import replace
from math import log
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from forethought.engine import Engine
from forethought.errors import InvalidPolicy, MissingCapability
from forethought.fold import complete
from forethought.plugins import load
from forethought.policy import Policy
from forethought.ports import Capabilities, Continuation, Continue, Inject, Probe, Probed, Situation, Stop
from forethought.stack import stack
from forethought.steer.compress import Compress, begins_a_reflection
from forethought.steer.detector import Calibration, Detector
from forethought.testing import SCRIPTED, Script, Scripted
from forethought.wire import Delta, Request, TokenLogprob
from forethought_adapters.pocket import open_backend

QUESTION = Request.of("What is six times seven?")
STEP = Delta(reasoning="so it is 42\n\n")
BLIND = replace(SCRIPTED, logprobs=False, top_logprobs=0)
POLICY = """
name = "shorter"

[[layers]]
kind = "compress"
injections = 2
lines = 1
"""


@pytest.fixture
def calibration(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The file of a detector of trial answers."""
    monkeypatch.chdir(tmp_path)
    Path("c.json").write_text(json.dumps(Calibration(Detector("so ", threshold=0.6)).to_json()))
    return "c.json"


def situation(capabilities: Capabilities = SCRIPTED) -> Situation:
    return Situation(QUESTION, capabilities)


def sure(share: float) -> Probed:
    return Probed(" sure", (TokenLogprob(" sure", log(share), ((" sure", log(share)),)),))


def test_stops_when_sure() -> None:
    """Where the probability of the confident words is above the threshold the thought is ended."""
    steering = Compress(transition="!").steer(situation())
    next(steering)
    probe = steering.send(STEP)
    assert isinstance(probe, Probe)
    assert probe.suffix == " So, I'm"
    stop = steering.send(sure(0.51))
    assert isinstance(stop, Stop)
    assert (stop.reason, stop.say) == ("confident", "!")


def test_injects_before_a_reflection() -> None:
    """Where it is not sure and a reflection would come next, a phrase of confidence comes first."""
    steering = Compress(phrase="Clearly, ").steer(situation())
    next(steering)
    steering.send(STEP)
    assert steering.send(sure(0.5)) == Probe("", 8, 0.0)
    inject = steering.send(Probed("Wait, let me check"))
    assert isinstance(inject, Inject)
    assert inject.text == "Clearly, "


def test_leaves_what_is_no_reflection() -> None:
    """Where it is not sure and the thought moves on, nothing is done."""
    steering = Compress().steer(situation())
    next(steering)
    steering.send(STEP)
    steering.send(sure(0.5))
    assert steering.send(Probed("Now the second part")) == Continue()


def test_looks_only_where_an_answer_has_been_come_to() -> None:
    """Steps that conclude nothing are not probed."""
    steering = Compress().steer(situation())
    next(steering)
    assert steering.send(Delta(reasoning="six is three and three\n\n")) == Continue()


def test_phrases_take_turns() -> None:
    """Without a phrase of one's own those that come along are used in turn, up to `injections` times."""
    steering = Compress(injections=2).steer(situation())
    next(steering)
    said: list[str] = []
    for _ in range(3):
        steering.send(STEP)
        steering.send(sure(0.1))
        decision = steering.send(Probed("Hmm")) if len(said) < 2 else Continue()
        said += [decision.text] if isinstance(decision, Inject) else []
    assert len(set(said)) == 2


def test_asks_for_a_number_where_there_are_no_logprobs() -> None:
    """On a backend without logprobs the model says how sure it is from 1 to 10."""
    steering = Compress(injections=0).steer(situation(BLIND))
    next(steering)
    probe = steering.send(STEP)
    assert isinstance(probe, Probe)
    assert "1" in probe.suffix
    assert steering.send(Probed("8")) == Continue()
    steering.send(STEP)
    assert isinstance(steering.send(Probed("9")), Stop)


@pytest.mark.parametrize("said", ["Wait", "  let me check it", "But is", "sure?\n", "again\n"])
def test_reflections(said: str) -> None:
    """A reflection begins with a word of doubt or of looking again."""
    assert begins_a_reflection(Probed(said))


@pytest.mark.parametrize("said", ["", "Now I add the rest of them, but", "I know", "the answer is 42"])
def test_no_reflections(said: str) -> None:
    """Words that only contain such a word, or come later, are none."""
    assert not begins_a_reflection(Probed(said))


async def test_end_to_end(calibration: str) -> None:
    """With a calibrated detector the thought ends at the step where the model is sure, and the report says so."""
    thought = Script("42", reasoning="so 42\n\ncheck so 42\n\ncheck so 42", logprob=log(0.7))

    def think(request: Request) -> Script:
        thought_so_far = request.prefix.reasoning if request.prefix else ""
        trial = Script(reasoning=thought_so_far + "42", logprob=log(0.7))
        return trial if thought_so_far.endswith("so ") else thought

    answer = await complete(stack(Scripted(answer=think), [Compress(calibration, transition=" Done.")]), QUESTION)
    assert (answer.reasoning, answer.text) == ("so 42\n\ncheck Done.", "42")
    assert answer.done.stop_reason == "confident"
    assert answer.done.report["compress"]["confidence"] == 0.7


def test_policy_round_trip() -> None:
    """A policy file names it `compress` and reads back as it was written."""
    policy = Policy.from_toml(POLICY)
    assert policy.layers == (Compress(injections=2, lines=1),)
    assert Policy.from_toml(policy.to_toml()) == policy


def test_a_missing_calibration_is_told_of_when_the_policy_is_read() -> None:
    """A policy that names a calibration which is not there is refused at its field."""
    with pytest.raises(InvalidPolicy, match=r"layers\[0\]\.calibration") as refused:
        Policy.from_toml(POLICY + 'calibration = "none.json"\n')
    assert refused.value.line == 8


@pytest.mark.parametrize(("field", "value"), [("injections", -1), ("peek", 0), ("probes", 0), ("lines", 1001)])
def test_wrong_options(field: str, value: int) -> None:
    """An option out of its range is refused by name."""
    with pytest.raises(InvalidPolicy, match=rf"compress\.{field}"):
        Compress(**{field: value})  # type: ignore[arg-type]


def test_needs_to_continue_thoughts() -> None:
    """A backend that cannot continue inside the thinking is refused when the stack is built."""
    with pytest.raises(MissingCapability, match="continue inside the thinking"):
        stack(Scripted("42", capabilities=replace(SCRIPTED, continuation=Continuation.ANSWER)), [Compress()])


@settings(max_examples=30, deadline=None)
@given(
    st.lists(st.sampled_from(["so 42\n\n", "a", "\n\n"]), max_size=40),
    st.integers(1, 5),
    st.integers(0, 5),
    st.floats(0.01, 0.4),
)
async def test_keeps_to_its_worst_case(pieces: list[str], probes: int, injections: int, share: float) -> None:
    """Whatever is thought, the calls made are no more than computed beforehand."""
    policy = Policy("p", layers=(Compress(probes=probes, injections=injections, phrase=" so "),))
    backend = Scripted(Script("42", reasoning="".join(pieces) + " Wait", logprob=log(share)))
    answer = await Engine(backend, policy, sinks=()).complete(QUESTION)
    assert answer.usage.requests <= policy.worst_case().requests


async def test_on_the_pocket_model(calibration: str) -> None:
    """On a real model a calibrated detector ends thoughts early, with fewer tokens in all."""
    pytest.importorskip("llama_cpp")
    problems = load("forethought.problems", "pocket").problems("test", 4, seed=1)
    written: list[int] = []
    async with open_backend() as backend:
        for layers in ((), (Compress(calibration, injections=0, lines=1, transition="\n"),)):
            engine = Engine(backend, Policy("p", layers=layers), sinks=())
            asked = [Request(tuple(each.messages), {"temperature": 1.0, "seed": 1}) for each in problems]
            written.append(sum([(await engine.complete(request)).usage.completion_tokens for request in asked]))
    assert written[1] < 0.9 * written[0]
