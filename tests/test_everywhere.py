"""Every kind that a policy can name runs through every door: library, proxy and command, over every sort of backend."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import pytest_asyncio

from forethought import plugins
from forethought.engine import Engine
from forethought.errors import InvalidPolicy, MissingCapability
from forethought.judge.tests import ByTests
from forethought.policy import JUDGES, LAYERS, Policy
from forethought.ports import Backend
from forethought.proxy import create_app, serving
from forethought.search.vote import Vote
from forethought.testing import CapturingSink, Script, Scripted
from forethought.trace import Ended
from forethought.wire import Completion, Request
from support.eventually import eventually

QUESTION = "a=3 b=a+4 c=b*2 c?"
SAMPLING = {"temperature": 1.0, "seed": 1}
COMMAND = Path(sys.executable).with_name("forethought")

FILES = {
    "brake": "",
    "compress": "",
    "deepen": 'first = 48\nlongest = 64\nguard = false\nlines = 0\ntrigger = "Wait, again\\n"',
    "deepen_samples": "first = 1\nsamples = 2",
    "experience": 'candidates = ["direct"]\ncompare = 2',
    "handbook": 'book = "pocket"',
    "ladder": 'samples = 3\nsearch = {kind = "vote", samples = 4}',
    "limit": "reasoning_tokens = 16",
    "lookahead": "candidates = 2\nahead = 1\nsteps = 2\nlines = 1",
    "loop": "",
    "settle": "every = 8\nlines = 1",
    "vote": "samples = 3",
    "backward": "recoveries = 1",
    "majority": "",
    "pairwise": "",
    "pessimistic": "verifications = 1",
}
"""The options of each kind in a policy file, small enough to run often."""

BLIND = {
    "brake": "continue inside the thinking",
    "compress": "continue inside the thinking",
    "lookahead": "continuation inside the thinking",
    "settle": "continue inside the thinking",
}
"""What a kind without a fallback misses where a server neither continues a thought nor gives logprobs."""


async def passes_nothing(_program: str, /) -> list[bool]:
    return [False]


CODE = {"tests": Policy("tests", layers=(Vote(samples=3, judge=ByTests(runner=passes_nothing)),))}
"""The kinds that need a part which only code can give."""


def file_of(kind: str) -> str:
    """A policy file whose only layer, or the judge of it, is of that kind."""
    own = f'kind = "{kind}"\n{FILES[kind]}\n'
    if kind in plugins.names(JUDGES):
        own = f'kind = "vote"\nsamples = 3\n[layers.judge]\n{own}'
    return f'name = "{kind}"\n[[layers]]\n{own}'


POLICIES = {**{kind: Policy.from_toml(file_of(kind)) for kind in FILES}, **CODE}
pytestmark = pytest.mark.asyncio(loop_scope="module")


@dataclass(frozen=True, slots=True)
class House:
    """The pocket model, a proxy over it that knows every policy, and what happens in its runs."""

    pocket: Any
    url: str
    sink: CapturingSink

    async def ask(self, **body: Any) -> dict[str, Any]:
        messages = [{"role": "user", "content": QUESTION}]
        async with aiohttp.ClientSession() as http:
            posted = http.post(f"{self.url}/chat/completions", json={"messages": messages, **SAMPLING, **body})
            async with posted as answer:
                told = await answer.json()
                assert answer.status == 200, told
                return dict(told)


@pytest.fixture(scope="module", autouse=True)
def own_data(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """What is learned here is kept in a folder of its own."""
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("XDG_DATA_HOME", str(tmp_path_factory.mktemp("data")))
        yield


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def house() -> AsyncIterator[House]:
    if find_spec("llama_cpp") is None:
        pytest.skip("llama-cpp-python is not installed")
    pocket, sink = plugins.open_backend("pocket"), CapturingSink()
    async with serving(create_app(pocket, policies=POLICIES, sinks=[sink])) as url:
        yield House(pocket, f"{url}/v1", sink)


def scripted(*, delay: float = 0.0) -> Scripted:
    """Answers that differ, after a thought that comes to one, with logprobs."""
    first = Script("14", reasoning="b is 7\n\nc is 14\n\n", logprob=-0.2, delay=delay)
    return Scripted(first, Script("13", delay=delay), Script("14", delay=delay))


@pytest.fixture(params=FILES)
def file(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    path = tmp_path / f"{request.param}.toml"
    path.write_text(file_of(request.param))
    return path


def layer_of(kind: str) -> str:
    """The kind of the layer that is a node of the run: that of a judge is the vote."""
    return kind if kind in plugins.names(LAYERS) else "vote"


def nodes(sink: CapturingSink) -> set[str]:
    return {moment.node.name for moment in sink.moments if isinstance(moment, Ended)}


async def ask(backend: Backend, policy: Policy | Path) -> tuple[Completion, set[str]]:
    sink = CapturingSink()
    answer = await Engine(backend, policy, sinks=[sink]).ask(QUESTION, model="pocket", **SAMPLING)
    return answer, nodes(sink)


async def test_no_kind_is_left_out() -> None:
    """Every layer and every judge that is installed has a case here."""
    assert set(POLICIES) == {*plugins.names(LAYERS), *plugins.names(JUDGES)}


async def test_over_the_pocket_model(house: House, file: Path) -> None:
    """In a library, over the engine in this process, a policy file answers, and nothing goes on afterwards."""
    answer, seen = await ask(house.pocket, file)
    assert answer.text
    assert layer_of(file.stem) in seen
    await eventually(lambda: not house.pocket.live)


async def test_over_a_script(file: Path) -> None:
    """Over a fake that can do everything a policy file answers, and leaves no stream open."""
    backend = scripted()
    answer, seen = await ask(backend, file)
    assert answer.text
    assert layer_of(file.stem) in seen
    assert not backend.live


@pytest.mark.parametrize("after", [0, 2])
async def test_left_early(file: Path, after: int) -> None:
    """Leaving an answer before its end ends every call that was begun for it."""
    backend = scripted(delay=0.001)
    async with Engine(backend, file, sinks=[]).stream(Request.of(QUESTION)) as events:
        for _ in range(after):
            await anext(events)
    assert not backend.live


async def test_over_a_server(house: House, file: Path) -> None:
    """Over HTTP a policy file answers, by its fallback where it has one, else it says what the server cannot do."""
    async with plugins.load("forethought.backends", "openai")(house.url) as backend:
        if file.stem in BLIND:
            with pytest.raises(MissingCapability, match=BLIND[file.stem]):
                Engine(backend, file)
            return
        answer, seen = await ask(backend, file)
    assert answer.text
    assert layer_of(file.stem) in seen
    await eventually(lambda: not house.pocket.live)


@pytest.mark.parametrize("kind", POLICIES)
async def test_by_alias(house: House, kind: str) -> None:
    """Through the proxy, a policy that the server knows is chosen by the model's name."""
    house.sink.moments.clear()
    told = await house.ask(model=f"{kind}/pocket")
    assert told["choices"][0]["message"]["content"]
    assert told["forethought"]["policy"] == kind
    assert layer_of(kind) in nodes(house.sink)
    await eventually(lambda: not house.pocket.live)


@pytest.mark.parametrize("kind", FILES)
async def test_by_field(house: House, kind: str) -> None:
    """Through the proxy, a policy comes with the request."""
    house.sink.moments.clear()
    policy = {name: value for name, value in POLICIES[kind].to_json().items() if name != "name"}
    told = await house.ask(model="pocket", forethought={"policy": policy})
    assert told["choices"][0]["message"]["content"]
    assert layer_of(kind) in nodes(house.sink)
    await eventually(lambda: not house.pocket.live)


async def test_by_command(house: House, file: Path) -> None:
    """`forethought ask` follows a policy file."""
    arguments = ["ask", QUESTION, "--pocket", "-p", str(file), "--json", "--seed", "1", "--temperature", "1"]
    environment = {**os.environ, "HOME": str(file.parent)}
    process = await asyncio.create_subprocess_exec(COMMAND, *arguments, env=environment, stdout=-1, stderr=-1)
    async with asyncio.timeout(120):
        out, err = await process.communicate()
    assert process.returncode == 0, err.decode()
    told = json.loads(out)
    assert told["answer"]
    assert layer_of(file.stem) in names(told["run"]["root"])


def names(node: dict[str, Any]) -> Iterator[str]:
    """The names of a node and of all below it, as JSON has them."""
    yield node["name"]
    for child in node["children"]:
        yield from names(child)


@pytest.mark.parametrize("kind", CODE)
async def test_what_only_code_can_give(house: House, kind: str) -> None:
    """A kind with a part that only code can give runs in a library, and is refused in a file, naming the part."""
    answer, seen = await ask(house.pocket, CODE[kind])
    assert answer.text
    assert layer_of(kind) in seen
    with pytest.raises(InvalidPolicy, match="runner"):
        Policy.from_toml(f'name = "x"\n[[layers]]\nkind = "vote"\n[layers.judge]\nkind = "{kind}"')
