"""`forethought handbook`: what was learned about thinking, where it came from, and how to go back."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Annotated, Any, TypeAlias, TypeVar

import typer
from rich.box import SIMPLE_HEAD
from rich.table import Table

from .. import plugins
from ..learn.handbook import Book, Edition
from ..ports import Embedder
from ..shape.behaviors import Behavior, read, to_toml
from ..shape.handbook import EMBEDDERS, installed
from ..store.disk import DiskStore
from .screen import to_people, to_pipe

T = TypeVar("T")

app = typer.Typer(invoke_without_command=True, rich_markup_mode="rich")

_WHERE = "Which book"
StoreDirectory: TypeAlias = Annotated[
    Path | None,
    typer.Option(
        "--store",
        metavar="FOLDER",
        rich_help_panel=_WHERE,
        help="Where books are kept; $XDG_DATA_HOME/forethought/handbook without it.",
    ),
]
Tenant: TypeAlias = Annotated[
    str, typer.Option("--tenant", rich_help_panel=_WHERE, help="Whose book it is; tenants never see each other's.")
]


def _embedder(text: str) -> Embedder:
    kind, _, model = text.partition(":")
    made: Embedder = plugins.load(EMBEDDERS, kind)(model=model)
    return made


Embeddings: TypeAlias = Annotated[
    Any,
    typer.Option(
        "--embeddings",
        metavar="KIND:MODEL",
        parser=_embedder,
        help="Merge behaviors that mean the same in other words too: openai:NAME, or llamacpp:FILE.gguf.",
    ),
]
Name: TypeAlias = Annotated[str, typer.Argument(help="The name of a behavior.")]

_STATES = {"active": "green", "quarantined": "yellow", "retired": "dim"}


@app.callback()
def listing(context: typer.Context) -> None:
    """Keep a book of behaviors, one-line rules on how to think that are drawn from solved problems. A new one is
    held in quarantine. Once it has won against thinking without it, on other problems, it is active, and only
    active ones are ever served. Without a command the book is listed.

    [bold]Examples[/bold]

      forethought handbook learn --pocket --kind repeat --candidates pocket --no-cite
      forethought handbook export > handbook.toml
      forethought handbook rollback 1

    [bold]Served by a policy[/bold], from a file below the working directory

      layers = [{kind = "handbook", book = "handbook.toml"}]
    """
    if context.invoked_subcommand is None:
        shown(with_book(None, "", Book.latest))


@app.command("list")
def list_(store: StoreDirectory = None, tenant: Tenant = "") -> None:
    """List the behaviors of the book with what they have earned.

    [bold]Example[/bold]

      forethought handbook list --tenant acme
    """
    shown(with_book(store, tenant, Book.latest))


@app.command()
def show(name: Name, store: StoreDirectory = None, tenant: Tenant = "") -> None:
    """Print one behavior as TOML, with its sources.

    [bold]Example[/bold]

      forethought handbook show repeated_sum
    """
    typer.echo(to_toml([with_book(store, tenant, Book.latest)[name]]), nl=False)


@app.command()
def add(
    name: Name,
    instruction: Annotated[str, typer.Argument(help="What to do and when, in one line.")],
    topic: Annotated[str, typer.Option(help="One or two words.")] = "",
    embeddings: Embeddings = None,
    store: StoreDirectory = None,
    tenant: Tenant = "",
) -> None:
    """Put a behavior of your own into quarantine; `learn` tries it.

    [bold]Example[/bold]

      forethought handbook add complement "Where at least one is asked for, count those without any." --topic counting
    """
    written = Behavior(name=name, instruction=instruction, topic=topic, origin="hand")
    shown(with_book(store, tenant, lambda book: book.propose([written]), embeddings))


@app.command("import")
def import_(
    file: Annotated[str, typer.Argument(metavar="FILE|NAME", help="A .toml file, or an installed handbook.")],
    embeddings: Embeddings = None,
    store: StoreDirectory = None,
    tenant: Tenant = "",
) -> None:
    """Put the behaviors of a file into quarantine, whatever it says of them; `learn` tries them.

    [bold]Example[/bold]

      forethought handbook import theirs.toml
    """
    shown(with_book(store, tenant, lambda book: book.propose(candidates(file), f"imported {file}"), embeddings))


@app.command()
def export(
    whole: Annotated[bool, typer.Option("--all", help="Those in quarantine and the retired ones too.")] = False,
    version: Annotated[int | None, typer.Option(help="The book as it stood then; the latest without it.")] = None,
    store: StoreDirectory = None,
    tenant: Tenant = "",
) -> None:
    """Print the active behaviors as TOML: a file to read, to edit, and to serve from by a policy.

    [bold]Example[/bold]

      forethought handbook export > handbook.toml
    """
    edition = with_book(store, tenant, Book.latest if version is None else lambda book: book.edition(version))
    typer.echo(to_toml(each for each in edition.behaviors if whole or each.active), nl=False)


@app.command()
def remove(name: Name, store: StoreDirectory = None, tenant: Tenant = "") -> None:
    """Serve a behavior no longer. It stays in the book, retired, so that it is not learned anew.

    [bold]Example[/bold]

      forethought handbook remove repeated_sum
    """
    shown(with_book(store, tenant, lambda book: book.retire(name)))


@app.command()
def history(store: StoreDirectory = None, tenant: Tenant = "") -> None:
    """List every edition of the book: what changed, and how many behaviors it held.

    [bold]Example[/bold]

      forethought handbook history
    """
    table = _table("edition", "what changed", *_STATES)
    for edition in with_book(store, tenant, Book.history):
        counts = [sum(each.state == state for each in edition.behaviors) for state in _STATES]
        table.add_row(str(edition.version), edition.why, *map(str, counts))
    to_pipe().print(table)


@app.command()
def rollback(
    version: Annotated[int, typer.Argument(min=0, help="An edition of `history`; 0 is the empty book.")],
    store: StoreDirectory = None,
    tenant: Tenant = "",
) -> None:
    """Go back to an earlier edition. It is written anew, as the latest, so that this too can be undone.

    [bold]Example[/bold]

      forethought handbook rollback 3
    """
    shown(with_book(store, tenant, lambda book: book.rollback(version)))


def candidates(source: str) -> tuple[Behavior, ...]:
    """The behaviors of a .toml file anywhere, or of an installed handbook."""
    return read(Path(source) if source.endswith(".toml") else installed(source))


@asynccontextmanager
async def opened(store: Path | None, tenant: str, embeddings: Embedder | None = None) -> AsyncIterator[Book]:
    """The book of a tenant; leaving closes its store."""
    home = os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share"
    async with DiskStore(store or Path(home, "forethought", "handbook")) as kept:
        yield Book(kept, tenant, embeddings=embeddings)


def with_book(
    store: Path | None, tenant: str, act: Callable[[Book], Awaitable[T]], embeddings: Embedder | None = None
) -> T:
    """What `act` makes of the book."""

    async def acted() -> T:
        async with opened(store, tenant, embeddings) as book:
            return await act(book)

    return asyncio.run(acted())


def shown(edition: Edition) -> None:
    """The book as a table on stdout, and which edition it is on stderr."""
    table = _table("behavior", "instruction", "state", "tried", "won", "saved a use")
    for each in sorted(edition.behaviors, key=lambda each: (list(_STATES).index(each.state), each.topic, each.name)):
        saved = f"{each.tokens_saved / each.uses:.0f} tokens" if each.uses else "–"
        state = f"[{_STATES[each.state]}]{each.state}"
        table.add_row(each.name, each.instruction, state, str(each.uses), str(each.wins), saved)
    if edition.behaviors:
        to_pipe().print(table)
    else:
        to_people().print("The book is empty. Fill it with: forethought handbook learn, add or import", style="dim")
    to_people().print(f"edition {edition.version}: {edition.why or 'nothing written yet'}", style="dim", soft_wrap=True)


def _table(first: str, second: str, *rest: str) -> Table:
    table = Table(box=SIMPLE_HEAD, show_edge=False, pad_edge=False)
    table.add_column(first, style="bold cyan", no_wrap=True)
    table.add_column(second, ratio=1)
    for name in rest:
        table.add_column(name, no_wrap=True, justify="left" if name == "state" else "right")
    return table
