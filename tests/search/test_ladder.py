"""The ladder: spend only where confidence is low."""

from __future__ import annotations

import math
import re
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from forethought.budget import Budget
from forethought.engine import Engine
from forethought.errors import InvalidPolicy, MissingCapability, UpstreamTimeout
from forethought.fold import complete
from forethought.judge.majority import Majority
from forethought.judge.pessimistic import Pessimistic
from forethought.policy import Policy
from forethought.ports import Bound, Layer
from forethought.search.deepen import DeepenSamples
from forethought.search.ladder import Ladder, lowest_confidence
from forethought.search.lookahead import Lookahead
from forethought.search.vote import Vote
from forethought.stack import stack
from forethought.testing import SCRIPTED, CapturingSink, Script, Scripted
from forethought.trace import Ended
from forethought.wire import Completion, Request, TokenLogprob

QUESTION = Request.of("What is six times seven?")
PLAIN = replace(SCRIPTED, logprobs=False, top_logprobs=0)
RUNGS = ("direct", "check", "vote", "search")
NL = "\n"
SPLIT = Majority(confidence=1.0)
POLICY = """
name = "climb"

[[layers]]
kind = "ladder"
threshold = 0.9

[layers.search]
kind = "deepen_samples"
samples = 24

[layers.search.judge]
kind = "pessimistic"
"""


def sure(text: str, probability: float = 0.99) -> Script:
    return Script(text, logprob=math.log(probability))


def plain(*scripts: str | Script) -> Scripted:
    return Scripted(*scripts, capabilities=PLAIN)


async def ask(backend: Scripted, layer: Layer, request: Request = QUESTION) -> Completion:
    return await complete(stack(backend, [layer]), request)


def told(answer: Completion) -> dict[str, Any]:
    return dict(answer.done.report["ladder"])


def rungs(answer: Completion) -> list[str]:
    return [each["rung"] for each in told(answer)["rungs"]]


async def test_a_sure_answer_is_enough() -> None:
    """A direct answer whose tokens are likely is the only call."""
    backend = Scripted(sure("42"))
    answer = await ask(backend, Ladder())
    assert (answer.text, len(backend.requests), answer.done.stop_reason) == ("42", 1, "trusted")
    assert (told(answer)["rung"], told(answer)["confidence"]) == ("direct", 0.99)


async def test_an_unsure_answer_is_put_to_the_vote() -> None:
    """Below the threshold others vote, and the direct answer is one of the candidates."""
    backend = Scripted(sure("42", 0.3), "42")
    answer = await ask(backend, Ladder())
    assert (rungs(answer), answer.done.stop_reason) == (["direct", "vote"], "decided")
    assert (len(backend.requests), answer.done.report["votes"]) == (4, {"42": 4})


async def test_without_logprobs_a_second_answer_checks() -> None:
    """Where the backend gives no logprobs, two answers that agree are trusted."""
    backend = plain("The answer is 42", "42")
    answer = await ask(backend, Ladder())
    assert (answer.text, len(backend.requests)) == ("The answer is 42", 2)
    assert (told(answer)["rung"], told(answer)["confidence"]) == ("check", 0.875)


async def test_a_backend_that_gives_no_logprobs_after_all() -> None:
    """What counts is whether logprobs came, not whether they were promised."""
    assert rungs(await ask(Scripted("42"), Ladder())) == ["direct", "check"]


async def test_answers_that_differ_go_to_the_vote() -> None:
    """Two answers that differ are both heard in the vote."""
    backend = plain("41", "42")
    answer = await ask(backend, Ladder(judge=SPLIT, samples=3))
    assert rungs(answer)[:3] == ["direct", "check", "vote"]
    assert answer.done.report["candidates"] >= 3


async def test_nothing_is_checked_that_would_not_be_trusted() -> None:
    """Above what two equal answers are worth there is no check: the vote comes at once."""
    assert rungs(await ask(plain("42"), Ladder(threshold=0.9))) == ["direct", "vote"]


async def test_no_clear_majority_is_searched() -> None:
    """A vote without a majority goes on as a search, which keeps its candidates."""
    backend = Scripted(sure("1", 0.3), "2", "3", "4", *["2"] * 12)
    answer = await ask(backend, Ladder(samples=4, search=DeepenSamples(samples=8)))
    assert (answer.text, rungs(answer)) == ("2", ["direct", "vote", "search"])
    assert answer.done.report["answers"][:4] == ["1", "2", "3", "4"]
    assert len(backend.requests) == 8


async def test_a_better_judge_hears_the_same_candidates() -> None:
    """The judge of the search is asked about the candidates of the vote, and may overrule it."""
    samples = iter("7778")

    def says(request: Request) -> Script:
        code = re.search(r'"Verdict (\w+): 1"', request.question)
        if code is None:
            return sure(next(samples), 0.2)
        return Script(f"Verdict {code[1]}: {int(f'<solution {code[1]}>{NL}8' in request.question)}")

    search = DeepenSamples(samples=4, judge=Pessimistic())
    answer = await ask(Scripted(answer=says), Ladder(samples=4, majority=1.0, judge=SPLIT, search=search))
    assert (answer.text, answer.done.report["chosen_by"]) == ("8", "verdicts")


async def test_any_kind_can_search() -> None:
    """A search that does not vote answers alone, with a seed that is not that of a candidate."""
    backend = Scripted(sure("1", 0.3), "2", "3", "4")
    answer = await ask(backend, Ladder(samples=3, majority=0.5, search=Vote(samples=1)), QUESTION.with_params(seed=5))
    assert answer.text == "1"
    nested = Ladder(samples=3, majority=0.5, search=Ladder(threshold=0.0))
    answer = await ask(Scripted(*(sure(str(n), 0.3) for n in range(9))), nested, QUESTION.with_params(seed=5))
    assert (answer.text, told(answer)["rung"]) == ("3", "search")


async def test_no_answer_is_not_trusted() -> None:
    """A thought that never came to an answer is not trusted, however sure each of its words is."""
    backend = Scripted(Script(reasoning="so it is", logprob=-0.01), "42")
    assert (await ask(backend, Ladder(direct_tokens=9))).text == "42"


async def test_the_first_answer_hardly_thinks() -> None:
    """The direct answer thinks no longer than it may; the others are not held to that."""
    backend = Scripted(Script("42", reasoning="a b c d e f", logprob=-3.0))
    await ask(backend, Ladder(direct_tokens=2))
    closed = backend.requests[1].prefix
    assert closed is not None
    assert closed.closed
    assert closed.reasoning.startswith("a b\nTime is up")
    assert [request.prefix for request in backend.requests[2:]] == [None] * (len(backend.requests) - 2)


async def test_logprobs_are_the_callers_business() -> None:
    """Logprobs that only the ladder wanted are not passed on; those that the caller wanted are."""
    assert (await ask(Scripted(sure("42")), Ladder())).logprobs == ()
    wanted = QUESTION.with_params(logprobs=True)
    assert len((await ask(Scripted(sure("42")), Ladder(), wanted)).logprobs) == 1


async def test_the_run_tells_what_each_rung_took() -> None:
    """Rungs are nodes of the run, and what they took adds up to what the answer cost."""
    sink = CapturingSink()
    backend = Scripted(sure("1", 0.3), "2", "3", "4")
    answer = await Engine(backend, Policy("p", layers=(Ladder(samples=4),)), sinks=[sink]).complete(QUESTION)
    nodes = [moment.node.name for moment in sink.moments if isinstance(moment, Ended)]
    assert [name for name in nodes if name in RUNGS] == ["direct", "vote", "search"]
    told_of = told(answer)["rungs"]
    assert sum(each["requests"] for each in told_of) == answer.usage.requests == len(backend.requests)
    assert sum(each["tokens"] for each in told_of) == answer.usage.total_tokens
    assert [each["found"] for each in told_of[:2]] == ["confidence 0.30", "agreement 0.25"]


@pytest.mark.parametrize(
    ("limit", "climbed", "ended"),
    [(1, ["direct"], "budget"), (3, ["direct"], "budget"), (4, ["direct", "vote"], "decided")],
    ids=["one call", "too few to decide", "enough"],
)
async def test_a_rung_that_cannot_be_afforded_is_not_begun(limit: int, climbed: list[str], ended: str) -> None:
    """Where the budget has no room for a vote that could decide, the direct answer stands."""
    policy = Policy("p", budget=Budget(request_limit=limit), layers=(Ladder(),))
    answer = await Engine(Scripted(sure("42", 0.3)), policy).complete(QUESTION)
    assert (answer.text, rungs(answer), answer.done.stop_reason) == ("42", climbed, ended)


async def test_tokens_for_a_rung_are_counted_beforehand() -> None:
    """A vote is not begun where the output that is left cannot hold answers as long as the first."""
    policy = Policy("p", budget=Budget(output_tokens_limit=40, answer_tokens=4), layers=(Ladder(),))
    answer = await Engine(Scripted(sure("well " * 19 + "42", 0.3)), policy).complete(QUESTION)
    assert (rungs(answer), answer.done.stop_reason) == (["direct"], "budget")


async def test_a_failed_first_answer_is_not_the_end() -> None:
    """Where the direct answer fails the vote is taken without it, and the run tells why."""
    answer = await ask(Scripted(Script(error=UpstreamTimeout("silent")), "42"), Ladder())
    assert (answer.text, rungs(answer)) == ("42", ["direct", "vote"])
    assert "silent" in told(answer)["rungs"][0]["found"]


async def test_a_failed_check_is_not_the_end() -> None:
    """A check that fails decides nothing."""
    answer = await ask(plain("42", Script(error=UpstreamTimeout("silent")), "42"), Ladder())
    assert (answer.text, rungs(answer)) == ("42", ["direct", "check", "vote"])


async def test_a_failed_search_leaves_the_vote() -> None:
    """Where the search fails, the leader of the vote is the answer."""
    backend = Scripted(sure("1", 0.3), "2", "2", "3", *[Script(error=UpstreamTimeout("silent"))] * 4)
    answer = await ask(backend, Ladder(samples=4, majority=0.5, search=Lookahead()))
    assert (answer.text, answer.done.stop_reason) == ("2", "failed")


async def test_only_when_all_fail_it_fails() -> None:
    """With nothing to show the first error comes out."""
    with pytest.raises(UpstreamTimeout, match="silent"):
        await ask(Scripted(Script(error=UpstreamTimeout("silent"))), Ladder())


@pytest.mark.parametrize("after", range(6))
async def test_left_early(after: int) -> None:
    """Leaving at any point ends every call below."""
    backend = Scripted(Script("1", logprob=-3.0, delay=0.001), *[Script(str(n), delay=0.001) for n in range(2, 20)])
    async with stack(backend, [Ladder(samples=4)]).stream(QUESTION) as events:
        for _ in range(after):
            await anext(events)
    assert backend.live == 0


def test_policy_round_trip() -> None:
    """A policy file names the search by its kind, and reads back as it was written."""
    policy = Policy.from_toml(POLICY)
    search = DeepenSamples(samples=24, judge=Pessimistic())
    assert policy.layers == (Ladder(threshold=0.9, search=search),)
    assert Policy.from_toml(policy.to_toml()) == policy


def test_a_judge_is_no_search() -> None:
    """What searches is a layer: a judge in its place is refused, naming the field."""
    with pytest.raises(InvalidPolicy, match=r"search\.kind"):
        Policy.from_toml(POLICY.replace('"deepen_samples"', '"majority"'))


def test_worst_case() -> None:
    """Two direct answers of two calls each, a vote and a search, times what is below."""
    layer = Ladder(samples=5, search=DeepenSamples(samples=9))
    assert layer.worst_case(Bound(2, 10)) == Bound(2 * 4 + 2 * 5 + 2 * 9, 20 + 50 + 90)
    assert replace(layer, threshold=0.9).worst_case(Bound(1, None)) == Bound(2 + 5 + 9, None)


def test_what_the_search_needs() -> None:
    """A search that cannot run on this backend is refused when the stack is built, and named."""
    with pytest.raises(MissingCapability, match=r"logprobs.*lookahead"):
        stack(plain("42"), [Ladder(search=Lookahead())])


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("direct_tokens", -1),
        ("threshold", 1.5),
        ("window", 0),
        ("samples", 1),
        ("samples", 257),
        ("majority", -0.1),
        ("temperature", 3.0),
    ],
)
def test_wrong_options(field: str, value: float) -> None:
    """An option that cannot be is refused by name."""
    with pytest.raises(InvalidPolicy, match=rf"ladder\.{field}"):
        Ladder(**{field: value})  # type: ignore[arg-type]


def test_lowest_confidence() -> None:
    """The least likely stretch counts, as a geometric mean."""
    said = [TokenLogprob("", math.log(each)) for each in (0.9, 0.1, 0.4, 0.8)]
    assert lowest_confidence(said, 1) == pytest.approx(0.1)
    assert lowest_confidence(said, 2) == pytest.approx(0.2)
    assert lowest_confidence(said, 9) == pytest.approx(math.prod((0.9, 0.1, 0.4, 0.8)) ** 0.25)
    assert lowest_confidence([], 3) is None


@given(st.lists(st.floats(-1e5, 0) | st.just(-math.inf), min_size=1), st.integers(1, 40))
def test_confidence_is_a_probability(logprobs: list[float], window: int) -> None:
    """Whatever the logprobs, impossible ones too, the confidence is between 0 and 1 and none is above the mean."""
    confidence = lowest_confidence([TokenLogprob("", each) for each in logprobs], window)
    assert confidence is not None
    assert 0 <= confidence <= math.exp(math.fsum(logprobs) / len(logprobs)) + 1e-9


SCRIPTS = st.lists(
    st.builds(
        lambda text, probability, fails, thought: Script(
            text,
            reasoning=thought,
            logprob=None if probability is None else math.log(probability),
            error=UpstreamTimeout("silent") if fails else None,
        ),
        st.sampled_from(["1", "2", "3", ""]),
        st.none() | st.floats(0.01, 1),
        st.sampled_from([False, False, False, True]),
        st.sampled_from(["", "so it is"]),
    ),
    min_size=1,
    max_size=8,
)
LADDERS = st.builds(
    Ladder,
    threshold=st.floats(0, 1),
    window=st.integers(1, 4),
    samples=st.integers(2, 5),
    majority=st.floats(0, 1),
    direct_tokens=st.integers(0, 2),
    search=st.sampled_from([DeepenSamples(first=2, samples=7), Vote(samples=1), Vote(samples=3), Lookahead(steps=1)]),
)


@settings(max_examples=100, deadline=None)
@given(SCRIPTS, LADDERS, st.booleans())
async def test_ends_within_its_worst_case(scripts: list[Script], layer: Ladder, logprobs: bool) -> None:
    """Whatever is said and whatever fails, it ends, leaves nothing open and asks no more than its worst case."""
    if isinstance(layer.search, Lookahead) and not logprobs:
        layer = replace(layer, search=DeepenSamples())
    backend = Scripted(*scripts, capabilities=SCRIPTED if logprobs else PLAIN)
    try:
        await ask(backend, layer)
    except UpstreamTimeout:
        assert any(script.error for script in scripts)
    assert backend.live == 0
    assert len(backend.requests) <= layer.worst_case(Bound()).requests


@settings(max_examples=100, deadline=None)
@given(SCRIPTS, LADDERS, st.floats(0, 1), st.booleans())
async def test_a_higher_threshold_never_answers_lower(
    scripts: list[Script], layer: Ladder, other: float, logprobs: bool
) -> None:
    """With the same samples a higher threshold answers on the same rung or on a higher one."""
    scripts = [replace(script, text=script.text or "4", reasoning="", error=None) for script in scripts]
    layer = replace(layer, search=DeepenSamples(first=2, samples=7))

    def sample(request: Request) -> Script:
        return scripts[(request.context.seed or 0) % len(scripts)]

    async def rung(threshold: float) -> int:
        backend = Scripted(answer=sample, capabilities=SCRIPTED if logprobs else PLAIN)
        answer = await ask(backend, replace(layer, threshold=threshold), QUESTION.with_params(seed=1))
        return RUNGS.index(told(answer)["rung"])

    low, high = sorted((layer.threshold, other))
    assert await rung(low) <= await rung(high)


@settings(max_examples=60, deadline=None)
@given(SCRIPTS, LADDERS, st.integers(1, 12), st.integers(8, 60))
async def test_holds_every_budget(scripts: list[Script], layer: Ladder, calls: int, tokens: int) -> None:
    """Under a budget it answers, or fails with what failed, and never spends more."""
    scripts = [replace(script, error=None) for script in scripts]
    budget = Budget(request_limit=calls, output_tokens_limit=tokens, answer_tokens=3)
    answer = await Engine(Scripted(*scripts), Policy("p", budget=budget, layers=(layer,))).complete(QUESTION)
    assert answer.usage.requests <= calls
    assert answer.usage.completion_tokens <= tokens
