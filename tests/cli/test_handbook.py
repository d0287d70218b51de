"""`forethought handbook`."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from forethought.shape.behaviors import Behavior, from_toml
from support.embedding import embeds
from support.upstream import Upstream, says

from .conftest import Forethought

BOOK = """
[[behaviors]]
name = "vieta"
topic = "polynomials"
instruction = "Read the sum of roots off the coefficients."
state = "active"
uses = 99
"""


@pytest.fixture(autouse=True)
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A handbook file in the working directory, and the default place for books."""
    monkeypatch.delenv("XDG_DATA_HOME", raising=False)
    (tmp_path / "book.toml").write_text(BOOK)


async def test_empty(forethought: Forethought) -> None:
    """An empty book says how to fill it, on stderr."""
    finished = await forethought("handbook")
    assert (finished.code, finished.out) == (0, "")
    assert "learn" in finished.err


async def test_import_is_held_in_quarantine(forethought: Forethought) -> None:
    """What is imported is held in quarantine, whatever the file says of it, and is not exported for serving."""
    imported = await forethought("handbook", "import", "book.toml")
    assert "vieta" in imported.out
    assert "quarantined" in imported.out
    assert from_toml((await forethought("handbook", "export")).out) == ()


async def test_export_can_be_read_back(forethought: Forethought) -> None:
    """The whole book is exported as the TOML that it is read from."""
    await forethought("handbook", "import", "book.toml")
    exported = await forethought("handbook", "export", "--all")
    (vieta,) = from_toml(exported.out)
    assert (vieta.name, vieta.state, vieta.uses) == ("vieta", "quarantined", 0)


async def test_add_and_show(forethought: Forethought) -> None:
    """A behavior of one's own is shown as TOML, with where it came from."""
    await forethought("handbook", "add", "square_it", "Isolate roots, then square.", "--topic", "roots")
    shown = await forethought("handbook", "show", "square_it")
    expected = Behavior(name="square_it", instruction="Isolate roots, then square.", topic="roots", origin="hand")
    assert from_toml(shown.out) == (expected,)


async def test_remove_and_rollback(forethought: Forethought) -> None:
    """What was removed is back after going back, and the history tells of both."""
    await forethought("handbook", "import", "book.toml")
    assert "retired" in (await forethought("handbook", "remove", "vieta")).out
    assert "quarantined" in (await forethought("handbook", "rollback", "1")).out
    history = (await forethought("handbook", "history")).out
    assert [what in history for what in ("imported book.toml", "retired vieta", "rolled back to 1")] == [True] * 3


async def test_tenants(forethought: Forethought) -> None:
    """A tenant's book holds nothing of another's."""
    await forethought("handbook", "import", "book.toml", "--tenant", "acme")
    assert (await forethought("handbook", "list")).out == ""
    assert "vieta" in (await forethought("handbook", "list", "--tenant", "acme")).out


async def test_store_of_ones_own(forethought: Forethought, tmp_path: Path) -> None:
    """Books are kept where the option says."""
    await forethought("handbook", "import", "book.toml", "--store", "mine")
    assert (tmp_path / "mine").is_dir()
    assert (await forethought("handbook", "list")).out == ""


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("show", "nope"), "behavior: got 'nope'"),
        (("rollback", "7"), "version: got 7"),
        (("import", "none.toml"), "none.toml"),
        (("import", "nope"), "the handbooks are"),
        (("add", "No Name", "x"), "name: got 'No Name'"),
    ],
)
async def test_mistakes(forethought: Forethought, arguments: tuple[str, ...], said: str) -> None:
    """A mistake is one line on stderr, and the exit code is 2."""
    finished = await forethought("handbook", *arguments)
    assert (finished.code, finished.out, finished.err.count("\n")) == (2, "", 1)
    assert said in finished.err


@pytest.mark.usefixtures("local_engine")
async def test_learn_and_serve(forethought: Forethought, tmp_path: Path) -> None:
    """A rule that helps the pocket model wins its trial; exported, a policy file serves it, for fewer tokens."""
    learned = await forethought(
        "handbook", "learn", "--pocket", "--kind", "repeat", "--candidates", "pocket", "--no-cite", "--tries", "24"
    )
    assert [word in learned.out for word in ("won", "undecided", "active", "quarantined")] == [True] * 4
    exported = await forethought("handbook", "export")
    assert [each.name for each in from_toml(exported.out)] == ["repeated_sum"]
    (tmp_path / "learned.toml").write_text(exported.out)
    layer = '[[layers]]\nkind = "handbook"\nbook = "learned.toml"\ncite = false\n'
    (tmp_path / "mine.toml").write_text(f'name = "mine"\n{layer}')
    question = "a=3 b=a+a+a+a+a+a+a c=b+2 c?"
    ask = ("ask", question, "--pocket", "--temperature", "0", "--json")
    plain = json.loads((await forethought(*ask)).out)
    served = json.loads((await forethought(*ask, "--policy", "mine.toml")).out)
    assert served["report"]["handbook"]["served"] == ["repeated_sum"]
    assert served["usage"]["completion_tokens"] < plain["usage"]["completion_tokens"] / 2


async def test_draw(forethought: Forethought, tmp_path: Path) -> None:
    """Behaviors are drawn from problems of a file by an upstream model; what tells the answer is refused."""
    rows = [{"question": f"What is the sum of the roots of case {n}?", "answer": "42"} for n in "abc"]
    (tmp_path / "rows.jsonl").write_text("\n".join(map(json.dumps, rows)))
    listed = [
        {"name": "vieta", "instruction": "Read the sum of roots off the coefficients."},
        {"name": "cheat", "instruction": "The roots always come to 42."},
    ]
    async with Upstream(says(json.dumps(listed))) as upstream:
        finished = await forethought(
            "handbook", "learn", "--problems", "rows.jsonl", "-n", "1", "--tries", "2", "-m", "m",
            OPENAI_BASE_URL=upstream.base_url, OPENAI_API_KEY="k",
        )  # fmt: skip
    assert finished.code == 0
    assert "refused cheat" in finished.err
    assert "it tells the answer" in finished.err
    assert "vieta" in finished.out
    assert "undecided" in finished.out


@pytest.mark.usefixtures("local_engine")
async def test_budget(forethought: Forethought) -> None:
    """When the budget is gone, what was not tried stays in quarantine, and what was spent is told."""
    learned = await forethought(
        "handbook", "learn", "--pocket", "--kind", "repeat", "--candidates", "pocket", "--budget-tokens", "100"
    )
    assert (learned.code, learned.out) == (0, "")
    assert "trying ended" in learned.err
    assert "spent" in learned.err
    assert "quarantined" in (await forethought("handbook")).out


async def test_merged_by_meaning(forethought: Forethought, upstream: Upstream) -> None:
    """With an embedding model, a rule that says in other words what is known is not added."""
    upstream.script(embeds())
    server = {"FORETHOUGHT_EMBEDDINGS_URL": upstream.base_url}
    await forethought("handbook", "add", "chords", "Multiply both parts of the chord.")
    again = ["handbook", "add", "circles", "Take a circle.", "--embeddings", "openai:m"]
    assert "circles" not in (await forethought(*again, **server)).out
    assert upstream.requests[0].json["model"] == "m"


async def test_unknown_embedder(forethought: Forethought) -> None:
    """A kind of embedder that is not installed is refused in one line that names those that are."""
    finished = await forethought("handbook", "add", "a", "b", "--embeddings", "nope:m")
    assert finished.code != 0
    assert "openai" in finished.err
    assert finished.err.count("\n") == 1
