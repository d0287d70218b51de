"""The layer that learns which policy wins on which kind of problem."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from forethought import Budget, Engine, Policy, Request
from forethought.errors import InvalidPolicy, MissingCapability, StoreError, UpstreamUnreachable
from forethought.fold import complete
from forethought.learn.experience import Experience
from forethought.learn.keeper import Keeper
from forethought.learn.memory import identity
from forethought.ports import Bound, Capabilities, Learning
from forethought.stack import stack
from forethought.store.disk import DiskStore
from forethought.store.memory import MemoryStore
from forethought.testing import Script, Scripted
from forethought.trace import Run, RunNode
from forethought.wire import Completion, Delta, Prefix

VOTE: dict[str, Any] = {"name": "vote", "layers": [{"kind": "vote", "samples": 4}]}
LONG: dict[str, Any] = {"name": "long", "layers": [{"kind": "vote", "samples": 6}]}
CHAINS = [f"a={n} b=a+{n + 1} c=b-2 c?" for n in range(200)]
WORDS = "Who wrote Faust, and when was it first performed in public?"


def experience(memory: MemoryStore | None = None, **options: Any) -> Experience:
    """Four samples by default, a single answer as the candidate."""
    given = {"default": VOTE, "candidates": ["none"], "memory": memory or MemoryStore(), **options}
    return Experience(**given)


def engine(layer: Experience, backend: Scripted | None = None, **options: Any) -> Engine:
    return Engine(backend or Scripted("42"), Policy("mine", layers=(layer,)), **options)


def told(completion: Completion) -> dict[str, Any]:
    found: dict[str, Any] = completion.done.report["experience"]
    return found


async def taught(asked: Engine, problems: list[str], score: float = 1.0, **params: Any) -> list[dict[str, Any]]:
    """Ask and say each time how good the answer was; what each run told of experience."""
    reports: list[dict[str, Any]] = []
    for problem in problems:
        done = await asked.ask(problem, **params)
        assert await asked.feedback(done.run, score)
        reports.append(told(done))
    return reports


async def remembered(store: MemoryStore, tenant: str = "") -> Any:
    return await Keeper(store).memory(tenant)


class TestLearning:
    async def test_a_new_kind_is_compared(self) -> None:
        """On a problem of a new kind the default and the candidate both answer, and the report says so."""
        backend = Scripted("42")
        done = await engine(experience(), backend).ask(CHAINS[0])
        assert (told(done)["why"], told(done)["compared"]) == ("compared", ["vote", "none"])
        assert done.text == "42"
        assert len(backend.requests) > 1

    async def test_the_cheaper_is_served_after_it_won(self) -> None:
        """Seven right answers at lower cost, by feedback, and the candidate is served alone."""
        asked = engine(experience())
        assert {each["why"] for each in await taught(asked, CHAINS[:7])} == {"compared"}
        served = (await taught(asked, CHAINS[7:8]))[0]
        assert (served["why"], served["policy"]) == ("served", "none")
        assert served["tokens"] < served["default_tokens"]

    async def test_the_default_stays_where_the_candidate_is_wrong(self) -> None:
        """A candidate whose answers differ from right ones is retired, and the default is served."""

        def answer(request: Request) -> str:
            return "41" if request.context.share == 2 else "42"  # a candidate is one of two, a sample one of more

        asked = engine(experience(), Scripted(answer=answer))
        await taught(asked, CHAINS[:7])
        assert (await taught(asked, CHAINS[7:8], seed=1))[0]["why"] == "default"

    async def test_another_kind_is_learned_apart(self) -> None:
        """What was learned on one kind of problem does not end the comparisons on another."""
        asked = engine(experience())
        await taught(asked, CHAINS[:8])
        assert told(await asked.ask(WORDS))["why"] == "compared"

    async def test_without_feedback_comparing_ends(self) -> None:
        """Where nobody ever says how good an answer was, comparisons end, and the default is served."""
        asked = engine(experience(epsilon=0.0))
        reasons = [told(await asked.ask(each))["why"] for each in CHAINS[:22]]
        assert reasons == ["compared"] * 20 + ["default"] * 2

    async def test_agreement_scores_without_feedback(self) -> None:
        """By agreement a run is learned from at once, and feedback on it is not waited for."""
        asked = engine(experience(verify="agreement"))
        done = [await asked.ask(each) for each in CHAINS[:8]]
        assert told(done[-1])["why"] == "served"
        assert not await asked.feedback(done[0].run, 1)

    async def test_a_check_scores_at_once(self) -> None:
        """With a check in code no feedback is needed, and the answer that passes it is returned."""

        def answer(request: Request) -> str:
            return "right" if request.context.share == 2 else "wrong"

        def check(_: Request, completion: Completion) -> float:
            return float(completion.text == "right")

        store = MemoryStore()
        done = await engine(experience(store, check=check), Scripted(answer=answer)).ask(CHAINS[0])
        assert (done.text, told(done)["policy"]) == ("right", "none")
        assert (await remembered(store)).compared == 1

    async def test_single_answers_teach_too(self) -> None:
        """Feedback on an answer that was served alone is counted."""
        store = MemoryStore()
        asked = engine(experience(store))
        await taught(asked, CHAINS[:12])
        assert (await remembered(store)).cells[0].records[identity({})].trials == 12

    async def test_the_right_answer_scores_all(self) -> None:
        """Feedback that tells the right answer scores every attempt by it."""
        store = MemoryStore()
        asked = engine(experience(store), Scripted("41"))
        done = await asked.ask(CHAINS[0])
        await asked.feedback(done.run, 0.0, answer="42")
        assert {each.score for each in (await remembered(store)).cells[0].records.values()} == {0.0}


class TestFeedback:
    async def test_it_learns(self) -> None:
        """The layer is one that feedback reaches."""
        assert isinstance(experience(), Learning)

    async def test_an_unknown_run(self) -> None:
        """Feedback on a run that nobody knows is not taken."""
        assert not await engine(experience()).feedback("run_0", 1)

    async def test_only_once(self) -> None:
        """Feedback on a run counts once."""
        asked = engine(experience())
        done = await asked.ask(CHAINS[0])
        assert [await asked.feedback(done.run, 1) for _ in range(3)] == [True, False, False]

    async def test_another_layer_does_not_take_it(self) -> None:
        """Feedback goes to the layer with the policies that answered, also where memories are shared."""
        store = MemoryStore()
        done = await engine(experience(store)).ask(CHAINS[0])
        assert not await engine(experience(store, default=LONG)).feedback(done.run, 1)
        assert await engine(experience(store)).feedback(done.run, 1)

    async def test_several_answers_of_one_run(self) -> None:
        """Below a vote it is not known which answer is scored, and nothing is learned from it."""
        vote = Policy.from_json({"name": "v", "layers": [{"kind": "vote", "samples": 2}]}).layers
        asked = Engine(Scripted("42"), Policy("mine", layers=(*vote, experience())))
        done = await asked.ask(CHAINS[0])
        assert not await asked.feedback(done.run, 1)


class TestServing:
    async def test_one_policy_streams(self) -> None:
        """What is served alone passes piece by piece, as it is written."""
        layer = experience(candidates=[])
        backend = Scripted("one two three")
        async with stack(backend, [Experience(memory=MemoryStore())]).stream(Request.of(WORDS)) as events:
            pieces = [event.text async for event in events if isinstance(event, Delta)]
        assert pieces == ["one", " two", " three"]
        assert layer.worst_case(Bound()) == Bound(4)

    async def test_nothing_goes_on_after_leaving(self) -> None:
        """Leaving a comparison ends every call below it."""
        backend = Scripted(Script("42", delay=30))
        async with asyncio.timeout(20), stack(backend, [experience()]).stream(Request.of(WORDS)) as events:
            pull = asyncio.ensure_future(anext(aiter(events)))
            while backend.live < 3:  # noqa: ASYNC110  the fake has no event to wait for
                await asyncio.sleep(0)
            pull.cancel()
            await asyncio.wait([pull])
        assert backend.live == 0

    async def test_a_candidate_that_fails(self) -> None:
        """Where one policy fails the others answer; it is not counted as wrong."""

        def answer(request: Request) -> Script:
            alone = request.context.share == 2
            return Script("42", error=UpstreamUnreachable("gone") if alone else None)

        store = MemoryStore()
        asked = engine(experience(store), Scripted(answer=answer))
        done = await asked.ask(CHAINS[0])
        await asked.feedback(done.run, 1)
        assert (done.text, told(done)["compared"]) == ("42", ["vote"])
        assert len((await remembered(store)).cells[0].records) == 1

    async def test_all_fail(self) -> None:
        """Where every policy fails the error is that of the upstream."""
        with pytest.raises(UpstreamUnreachable):
            await engine(experience(), Scripted(Script(error=UpstreamUnreachable("gone")))).ask(CHAINS[0])

    async def test_a_store_that_fails(self) -> None:
        """A memory that cannot be read or written is noted, and the default answers."""

        class Broken(MemoryStore):
            async def get(self, key: str, /) -> Any:
                raise StoreError("the disk is gone")

        done = await engine(experience(Broken())).ask(CHAINS[0])
        assert (done.text, told(done)["why"]) == ("42", "default")

    async def test_few_calls_left(self) -> None:
        """With fewer calls left than a comparison may take, nothing is compared."""
        done = await engine(experience(), budget=Budget(request_limit=4)).ask(CHAINS[0], seed=3)
        assert told(done)["why"] == "default"

    async def test_a_continuation_is_no_problem(self) -> None:
        """What only continues an answer goes to the default and teaches nothing."""
        store = MemoryStore()
        request = Request((*Request.of(CHAINS[0]).messages,), prefix=Prefix("so far"))
        done = await complete(engine(experience(store)), request)
        assert "experience" not in done.done.report
        assert [key async for key, _, _ in store.scan("")] == []

    async def test_agreement_chooses(self) -> None:
        """Of answers without a score that is returned which most policies give."""
        shares = {"long": "7", "vote": "7"}

        def answer(request: Request) -> str:
            node = request.context.node
            while isinstance(node, RunNode) and node.parent is not None and node.name not in ("long", "vote", "none"):
                node = node.parent
            return shares.get(node.name if node is not None else "", "8")

        asked = engine(experience(default="none", candidates=[VOTE, LONG]), Scripted(answer=answer))
        assert (await asked.ask(CHAINS[0])).text == "7"

    async def test_the_run_tells(self) -> None:
        """The run has a node for each policy compared, below that of the layer, and says which was chosen."""
        run = Run.start("test")
        request = Request.of(CHAINS[0]).with_context(node=run.root)
        await complete(stack(Scripted("42"), [experience()]), request)
        (node,) = run.root.children
        assert [each.name for each in node.children] == ["vote", "none"]
        assert "compared" in [each.what for each in node.decisions]

    async def test_a_comparison_asks_as_each_would_alone(self) -> None:
        """Compared policies get the caller's seed, so that a run of one alone can be compared with them."""
        backend = Scripted("42")
        await engine(experience(default="none", candidates=[VOTE]), backend).ask(CHAINS[0], seed=7)
        assert backend.requests[0].params["seed"] == 7

    async def test_usage_counts_all(self) -> None:
        """The usage of a comparison is that of every policy in it."""
        backend = Scripted("42")
        done = await engine(experience(), backend).ask(CHAINS[0])
        assert done.usage.requests >= 3


class TestTenants:
    async def test_tenants_are_apart(self) -> None:
        """What one tenant has taught does not serve another, nor does feedback reach another's memory."""
        store = MemoryStore()
        asked = engine(experience(store))
        for problem in CHAINS[:8]:
            done = await complete(asked, Request.of(problem).with_context(tenant="acme"))
            await asked.feedback(done.run, 1)
        mine = await complete(asked, Request.of(CHAINS[9]).with_context(tenant="acme"))
        other = await complete(asked, Request.of(CHAINS[9]).with_context(tenant="umbrella"))
        assert (told(mine)["why"], told(other)["why"]) == ("served", "compared")
        assert (await remembered(store, "umbrella")).cells == ()
        assert [len((await remembered(store, each)).cells) for each in ("acme", "")] == [1, 0]

    @given(st.lists(st.tuples(st.text(max_size=4), st.sampled_from([CHAINS[0], WORDS])), max_size=6))
    @settings(max_examples=20)
    async def test_any_tenants(self, asked: list[tuple[str, str]]) -> None:
        """Whatever their names, each tenant's memory counts its own problems and no others."""
        store = MemoryStore()
        served = engine(experience(store))
        for tenant, problem in asked:
            done = await complete(served, Request.of(problem).with_context(tenant=tenant))
            await served.feedback(done.run, 1)
        for tenant in {tenant for tenant, _ in asked}:
            mine = [problem for each, problem in asked if each == tenant]
            assert (await remembered(store, tenant)).compared == len(mine)


class TestConstraints:
    async def test_an_edition_that_violates_is_not_written(self) -> None:
        """Where what was learned violates a constraint the previous edition stays, and the next run says why."""
        store = MemoryStore()
        asked = engine(experience(store, constraints=[{"question": CHAINS[99], "least": 1.0}]), Scripted("42"))
        await taught(asked, CHAINS[:3])
        done = await asked.ask(CHAINS[4])
        assert await asked.feedback(done.run, 0.0)
        assert await Keeper(store).editions("").version() == 3
        run = Run.start("test")
        await complete(asked, Request.of(CHAINS[9]).with_context(node=run.root))
        layer = run.root.children[0].children[0]
        assert "refused" in [each.what for each in layer.decisions]

    async def test_a_policy_that_breaks_a_constraint(self) -> None:
        """A policy that served, and breaks a constraint, serves no longer."""
        asked = engine(experience(constraints=[{"question": CHAINS[99], "least": 1.0}], epsilon=0.5))
        assert (await taught(asked, CHAINS[:8]))[-1]["why"] == "served"
        done = await asked.ask(CHAINS[8])
        assert await asked.feedback(done.run, 0.0)
        assert told(await asked.ask(CHAINS[9]))["why"] == "default"

    @pytest.mark.parametrize(
        "constraint", [{"question": "x"}, {"question": "x", "least": 2}, {"question": 1, "least": 0}, "x"]
    )
    def test_a_wrong_constraint(self, constraint: Any) -> None:
        """A constraint that is none is refused when the policy is read."""
        with pytest.raises(InvalidPolicy, match="constraints"):
            experience(constraints=[constraint])


class TestPolicyFile:
    def test_toml(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """A policy with experience equals itself through TOML, tables as candidates included."""
        monkeypatch.chdir(tmp_path)
        (tmp_path / "memories").mkdir()
        text = """
            name = "mine"
            [[layers]]
            kind = "experience"
            default = "balanced"
            candidates = ["economy", {layers = [{kind = "vote", samples = 3}]}]
            compare = 2
            verify = "agreement"
            store = "memories"
            constraints = [{question = "2+2?", least = 0.9}]
        """
        policy = Policy.from_toml(text)
        assert Policy.from_toml(policy.to_toml()) == policy
        assert policy.worst_case().requests == 19

    @pytest.mark.parametrize(
        ("option", "value"),
        [
            ("compare", 1),
            ("learn_runs", 0),
            ("epsilon", 0.9),
            ("proposals", 99),
            ("store", "/elsewhere"),
            ("store", "../elsewhere"),
            ("default", {"layers": [{"kind": "veto"}]}),
            ("candidates", [{"layers": [{"kind": "experience"}]}]),
            ("candidates", [{"layers": [{"kind": "vote", "sample": 3}]}]),
            ("verify", "luck"),
            ("candidates", "none"),
        ],
    )
    def test_mistakes(self, option: str, value: Any) -> None:
        """A mistake names the option."""
        table = {"name": "mine", "layers": [{"kind": "experience", option: value}]}
        with pytest.raises(InvalidPolicy, match=rf"layers\[0\].(experience.)?({option}|candidates)"):
            Policy.from_json(table)

    async def test_a_store_of_ones_own(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """Memories are kept in the folder that the policy names, and a folder that is a store may be named again."""
        monkeypatch.chdir(tmp_path)
        (tmp_path / "mine").mkdir()
        for compared in (1, 2):
            asked = engine(Experience(default=VOTE, candidates=["none"], store="mine"))
            await taught(asked, CHAINS[:1])
            async with DiskStore(tmp_path / "mine") as store:
                assert (await Keeper(store).memory("")).compared == compared

    @pytest.mark.parametrize("store", ["missing", "full", "full/file"])
    def test_a_store_among_other_files(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, store: str) -> None:
        """A policy makes no folder, and writes into none that holds other files."""
        monkeypatch.chdir(tmp_path)
        (tmp_path / "full").mkdir()
        (tmp_path / "full" / "file").write_text("mine")
        with pytest.raises(InvalidPolicy, match=r"experience\.store"):
            experience(store=store)

    @pytest.mark.parametrize("name", ["nope", "mine.toml", "/etc/passwd.json"])
    def test_a_name_that_is_none(self, name: str) -> None:
        """A candidate that is not installed, or a file, is refused when the engine is made."""
        with pytest.raises(InvalidPolicy, match=name):
            engine(experience(candidates=[name]))

    def test_a_candidate_that_cannot_run(self) -> None:
        """A candidate that needs more than the backend can do is refused when the engine is made."""
        needy = {"layers": [{"kind": "lookahead"}]}
        plain = Scripted("42", capabilities=Capabilities("plain"))
        with pytest.raises(MissingCapability):
            engine(experience(candidates=[needy]), plain)


async def test_on_disk(tmp_path: Path) -> None:
    """What was learned is there in the next run."""
    for expected in ("compared", "served"):
        async with DiskStore(tmp_path) as store:
            asked = engine(Experience(default=VOTE, candidates=["none"], memory=store))
            assert (await taught(asked, CHAINS[:7]))[0]["why"] == expected


async def test_concurrent_feedback(tmp_path: Path) -> None:
    """Feedback that comes from two processes' stores at once is all counted."""
    async with DiskStore(tmp_path) as one, DiskStore(tmp_path) as other:
        engines = [engine(Experience(default=VOTE, candidates=["none"], memory=store)) for store in (one, other)]
        runs = [(each, (await each.ask(problem)).run) for each in engines for problem in CHAINS[:4]]
        assert all(await asyncio.gather(*(asked.feedback(run, 1) for asked, run in runs)))
        assert (await Keeper(one).memory("")).compared == 8
