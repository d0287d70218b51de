"""Looking ahead at several next steps of a thought."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from forethought.budget import Budget
from forethought.engine import Engine
from forethought.errors import BudgetExceeded, InvalidPolicy, MissingCapability, UpstreamTimeout
from forethought.fold import complete
from forethought.policy import Policy
from forethought.ports import Bound, Continuation
from forethought.search.lookahead import Lookahead
from forethought.stack import stack
from forethought.testing import SCRIPTED, Script, Scripted
from forethought.wire import Completion, Delta, Note, Prefix, Request
from forethought_adapters.pocket import open_backend
from forethought_pocket import is_right, model_path, problems

QUESTION = Request.of("Left or right?", seed=7)
LEFT = Script("left", "go left\n\nit is dark\n\nso left", logprob=-2.0)
RIGHT = Script("right", "go right\n\nit is bright\n\nso right", logprob=-0.1)
PAIR = Lookahead(candidates=2, ahead=2)


def forks(*scripts: Script) -> Scripted:
    """A backend whose branches begin with each script in turn, and which goes on with the one that was begun."""
    turn = iter(range(1_000))

    def answer(request: Request) -> Script:
        said = request.prefix.reasoning if request.prefix else ""
        fitting = [script for script in scripts if script.reasoning.startswith(said[:4])]
        return fitting[next(turn) % len(fitting)]

    return Scripted(answer=answer)


async def ask(backend: Scripted, layer: Lookahead = PAIR, request: Request = QUESTION) -> Completion:
    answer = await complete(stack(backend, [layer]), request)
    assert backend.live == 0
    return answer


async def test_takes_what_leads_somewhere() -> None:
    """The candidate whose rollout is likelier is taken, wherever it stands among the candidates."""
    for scripts in ((LEFT, RIGHT), (RIGHT, LEFT)):
        answer = await ask(forks(*scripts))
        assert (answer.reasoning, answer.text) == (RIGHT.reasoning, "right")


async def test_streams_steps_as_they_are_decided() -> None:
    """Each chosen step comes as reasoning of its own, after a note that says how it was chosen."""
    async with stack(forks(LEFT, RIGHT), [PAIR]).stream(QUESTION) as events:
        seen = [event async for event in events]
    notes = [event.text for event in seen if isinstance(event, Note)]
    steps = [event.reasoning for event in seen if isinstance(event, Delta) and event.reasoning]
    assert notes[0] == "step 1: 2 candidates, 2 differ, chose 2"
    assert steps == ["go right\n\n", "it is bright\n\n", "so right"]


async def test_no_rollout_without_a_rival() -> None:
    """Candidates that say the same are one, and nothing is weighed."""
    answer = await ask(forks(RIGHT))
    told = answer.done.report["lookahead"]
    assert answer.reasoning == RIGHT.reasoning
    assert (told["candidates"], told["distinct"], told["rollouts"]) == (6, 3, 0)


async def test_paper_weighs_all() -> None:
    """As published, candidates that say the same are weighed against each other too."""
    answer = await ask(forks(RIGHT), replace(PAIR, paper=True))
    told = answer.done.report["lookahead"]
    assert (told["rollouts"], told["ended"]) == (2, "converged")


async def test_converged_goes_on_alone() -> None:
    """Where both candidates lead equally far, one is taken and the rest is written in one call."""
    backend = forks(RIGHT, replace(LEFT, logprob=RIGHT.logprob))
    answer = await ask(backend)
    assert len(backend.requests) == 3
    assert answer.done.stop_reason == "converged"
    assert answer.text in ("left", "right")


async def test_steps_end_the_search() -> None:
    """After the last step that may be searched for, the model goes on alone."""
    backend = forks(LEFT, RIGHT)
    answer = await ask(backend, replace(PAIR, steps=1))
    assert len(backend.requests) == 3
    assert (answer.text, answer.done.stop_reason) == ("right", "steps")


async def test_answer_that_was_seen() -> None:
    """An answer that a rollout came to within its reach is not written again."""
    backend = forks(LEFT, RIGHT)
    assert (await ask(backend)).text == "right"
    assert not any(request.prefix and request.prefix.closed for request in backend.requests)


async def test_long_answer_goes_on() -> None:
    """An answer that is cut with its rollout is gone on with, not begun anew."""
    text = "one two three four five six seven eight nine ten " * 20
    backend = forks(Script(text, "so", logprob=-0.1), Script("no", "or", logprob=-3.0))
    answer = await ask(backend, replace(PAIR, step_tokens=16))
    assert (answer.reasoning, answer.text) == ("so", text)
    last = backend.requests[-1]
    assert last.prefix is not None
    assert last.prefix.answer
    assert last.context.answering


async def test_what_branches_are_asked() -> None:
    """Branches are asked for logprobs, go on from what is chosen, are not steered, and differ by their seeds."""
    backend = forks(LEFT, RIGHT)
    await ask(backend, replace(PAIR, steps=1), QUESTION.with_params(temperature=0.1))
    first, second, last = backend.requests
    for branch in (first, second):
        assert branch.params["logprobs"]
        assert branch.context.probing
    assert first.params["seed"] != second.params["seed"]
    assert last.prefix == Prefix("go right\n\n")
    assert last.params == {"seed": 7, "temperature": 0.1}


@pytest.mark.parametrize(("given", "taken"), [(None, 0.9), (0, 0.9), (0.1, 0.1)])
async def test_candidates_have_to_differ(given: float | None, taken: float) -> None:
    """Candidates are drawn at the caller's temperature, unless that is 0 or not given."""
    backend = forks(LEFT, RIGHT)
    await ask(backend, replace(PAIR, temperature=0.9, steps=1), QUESTION.with_params(temperature=given))
    assert [request.params.get("temperature") for request in backend.requests] == [taken, taken, given]


async def test_logprobs_where_asked_for() -> None:
    """The caller gets the logprobs of what was chosen, and none unless asked for."""
    plain = await ask(forks(LEFT, RIGHT))
    asked = await ask(forks(LEFT, RIGHT), request=QUESTION.with_params(logprobs=True))
    assert plain.logprobs == ()
    assert "".join(token.token for token in asked.logprobs) == RIGHT.reasoning + RIGHT.text


async def test_goes_on_from_a_prefix() -> None:
    """A thought that the caller has begun is looked ahead from there; an answer that is begun is passed on."""
    backend = forks(LEFT, RIGHT)
    answer = await ask(backend, request=replace(QUESTION, prefix=Prefix("go right\n\n")))
    assert answer.reasoning == "it is bright\n\nso right"
    answer = await ask(backend, request=replace(QUESTION, prefix=Prefix("go right", "ri")))
    assert (answer.text, answer.done.report) == ("ght", {})


async def test_models_that_do_not_think() -> None:
    """Where the answer is begun at once, the one that goes on the likeliest is taken."""
    answer = await ask(forks(Script("no", logprob=-3.0), Script("yes", logprob=-0.1)))
    assert (answer.text, answer.reasoning) == ("yes", "")


async def test_tool_call_ends_a_rollout() -> None:
    """A tool call is not carried out, and the caller gets it where it was chosen."""
    call = {"id": "1", "type": "function", "function": {"name": "look", "arguments": "{}"}}
    calling = Script("", "look it up", (call,), logprob=-0.1, finish_reason="tool_calls")
    answer = await ask(forks(calling, LEFT))
    assert (answer.finish_reason, answer.tool_calls) == ("tool_calls", (call,))


async def test_branches_may_fail() -> None:
    """A branch that fails is no candidate, and the others decide."""
    asked = iter([Script(error=UpstreamTimeout("silent")), LEFT])
    answer = await ask(Scripted(answer=lambda _: next(asked, RIGHT)), replace(PAIR, candidates=3, steps=1))
    assert answer.reasoning.startswith("go right")


async def test_all_fail() -> None:
    """Only when every candidate of the first step fails does the search fail, with the first error."""
    with pytest.raises(UpstreamTimeout):
        await ask(Scripted(Script(error=UpstreamTimeout("silent"))))


@pytest.mark.parametrize("calls", range(1, 12))
async def test_calls_run_out(calls: int) -> None:
    """However few calls a budget has, the thought ends in an answer."""
    policy = Policy("test", budget=Budget(request_limit=calls), layers=(PAIR,))
    backend = forks(LEFT, RIGHT)
    answer = await Engine(backend, policy).complete(QUESTION)
    assert answer.text in ("left", "right")
    assert answer.usage.requests <= calls
    assert backend.live == 0


@settings(max_examples=25, deadline=None)
@given(st.integers(40, 3000))
async def test_tokens_run_out(limit: int) -> None:
    """However few tokens a budget has, it is not exceeded, and the thought ends in an answer."""
    thought = "\n\n".join(f"step {number} of a long thought that goes on" for number in range(40))
    backend = forks(replace(LEFT, reasoning="a " + thought), replace(RIGHT, reasoning="b " + thought))
    policy = Policy("test", budget=Budget(output_tokens_limit=limit), layers=(replace(PAIR, ahead=1, step_tokens=32),))
    answer = await Engine(backend, policy).complete(QUESTION)
    assert answer.usage.completion_tokens <= limit
    assert answer.text
    assert backend.live == 0


async def test_nothing_left() -> None:
    """A search that could ask nothing at all raises BudgetExceeded."""
    with Budget(request_limit=1):
        await Engine(Scripted("42")).complete(QUESTION)
        with pytest.raises(BudgetExceeded, match="request_limit"):
            await Engine(forks(RIGHT), Policy("test", layers=(PAIR,))).complete(QUESTION)


async def test_refused_in_mid_search() -> None:
    """A budget that has nothing left once something is thought ends the answer, and is no error."""
    refusal = BudgetExceeded("key", "cost_limit", 1, 1)
    asked = iter([LEFT, RIGHT])
    backend = Scripted(answer=lambda _: next(asked, Script(error=refusal)))
    answer = await ask(backend)
    assert answer.reasoning == "go right\n\n"
    assert (answer.finish_reason, answer.done.stop_reason) == ("length", "budget")


async def test_the_callers_ceiling_holds() -> None:
    """Search and answer together are no longer than the caller allows."""
    answer = await ask(forks(LEFT, RIGHT), replace(PAIR, ahead=1, steps=1, step_tokens=8), QUESTION.with_max_tokens(24))
    assert answer.reasoning == RIGHT.reasoning
    backend = forks(LEFT, RIGHT)
    answer = await ask(backend, request=QUESTION.with_max_tokens(3))
    assert len(backend.requests) == 1
    assert answer.finish_reason == "length"


@settings(max_examples=30, deadline=None)
@given(st.integers(2, 4), st.integers(1, 3), st.integers(1, 4), st.booleans())
async def test_never_more_than_the_worst_case(candidates: int, ahead: int, steps: int, paper: bool) -> None:
    """The bound on calls is never passed, and the usage is that of all of them."""
    layer = Lookahead(candidates=candidates, ahead=ahead, steps=steps, paper=paper)
    backend = forks(LEFT, RIGHT)
    answer = await ask(backend, layer)
    bound = layer.worst_case(Bound(1, 100))
    assert answer.usage.requests == len(backend.requests) <= bound.requests
    assert bound == Bound(steps * candidates + 1, (steps * candidates + 1) * 100)


@settings(max_examples=25, deadline=None)
@given(stop=st.integers(0, 12), how=st.sampled_from(["leave", "raise", "cancel"]))
def test_leaving_ends_every_branch(stop: int, how: str) -> None:
    """However and whenever a search is left, no inner call goes on."""
    backend = forks(replace(LEFT, delay=0.001), replace(RIGHT, delay=0.001))

    async def use() -> None:
        async with stack(backend, [PAIR]).stream(QUESTION) as events:
            for _ in range(stop):
                if await anext(events, None) is None:
                    return
            if how == "raise":
                raise KeyError("mine")

    async def main() -> None:
        if how == "cancel":
            task = asyncio.ensure_future(use())
            await asyncio.sleep(stop / 1000)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
        else:
            await asyncio.gather(use(), return_exceptions=True)
        assert backend.live == 0
        assert asyncio.all_tasks() == {asyncio.current_task()}

    asyncio.run(main())


async def test_a_probe_passes_by() -> None:
    """What a layer above asks only to look is not searched."""
    backend = forks(RIGHT)
    await ask(backend, request=QUESTION.with_context(probing=True))
    assert len(backend.requests) == 1


@pytest.mark.parametrize(
    ("able", "named"),
    [
        (replace(SCRIPTED, continuation=Continuation.ANSWER), "continuation"),
        (replace(SCRIPTED, logprobs=False), "logprobs"),
    ],
)
def test_what_it_needs(able: object, named: str) -> None:
    """Without continuation of the thinking or logprobs it refuses when it is stacked, naming what is missing."""
    with pytest.raises(MissingCapability, match=named):
        stack(Scripted("42", capabilities=able), [PAIR])  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("field", "value"),
    [
        *(("candidates", 1), ("ahead", 0), ("steps", 0), ("lines", -1), ("step_tokens", 1), ("temperature", 0.0)),
        *(("alpha", 1.5), ("beta", 0.9), ("delta", -1.0), ("tau", 0.0)),
    ],
)
def test_out_of_range(field: str, value: float) -> None:
    """An option out of its range is refused, naming the field."""
    with pytest.raises(InvalidPolicy, match=rf"lookahead\.{field}"):
        replace(PAIR, **{field: value})


def test_from_a_policy_file() -> None:
    """A policy file names it `lookahead`, and equals itself through TOML."""
    policy = Policy.from_toml('name = "ahead"\n[[layers]]\nkind = "lookahead"\nlines = 1\npaper = true\n')
    assert policy.layers == (Lookahead(lines=1, paper=True),)
    assert Policy.from_toml(policy.to_toml()) == policy


@pytest.mark.skipif(not model_path().exists(), reason="the pocket model is not trained yet")
async def test_sees_where_a_fork_leads() -> None:
    """At a fork, where the pocket model commits to a move unseen, it is right far more often than without."""
    right: dict[str, int] = {}
    async with open_backend() as backend:
        for name, layers in (("greedy", []), ("ahead", [Lookahead()])):
            over = stack(backend, layers)
            asked = problems("test", 16, kind="reach")
            requests = [Request(tuple(each.messages), {"temperature": 0, "seed": 1}) for each in asked]
            answers = await asyncio.gather(*(complete(over, request) for request in requests))
            right[name] = sum(is_right(each, answer.text) for each, answer in zip(asked, answers, strict=True))
    assert right["ahead"] >= right["greedy"] + 4


@pytest.mark.skipif(not model_path().exists(), reason="the pocket model is not trained yet")
async def test_candidates_share_their_prompt() -> None:
    """On the local engine the candidates of a step are forks: what they have in common is evaluated once."""
    request = Request.of("4 to 0 by *2 -4 in 2?", system="not a rule " * 20, temperature=0, seed=1)
    async with open_backend() as backend:
        answer = await complete(stack(backend, [Lookahead(steps=1)]), request)
        evaluated = backend.occupancy.evaluated
    prompts, written = answer.usage.prompt_tokens, answer.usage.completion_tokens
    assert prompts > 4 * 220
    assert evaluated < written + prompts / 2
