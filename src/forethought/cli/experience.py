"""`forethought experience`: which policy won on which kind of problem, how that was learned, and how to go back."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Annotated, TypeAlias, TypeVar

import typer
from rich.box import SIMPLE_HEAD
from rich.markup import escape
from rich.table import Table

from ..errors import InvalidPolicy
from ..learn.constraints import Suite, violations
from ..learn.editions import Edition
from ..learn.experience import Experience, home
from ..learn.keeper import Keeper
from ..learn.memory import Cell, Memory, Record
from ..policy import load
from ..store.disk import DiskStore
from .screen import to_people, to_pipe

T = TypeVar("T")

app = typer.Typer(invoke_without_command=True, rich_markup_mode="rich")

_WHERE = "Which memory"
StoreDirectory: TypeAlias = Annotated[
    Path | None,
    typer.Option(
        "--store",
        metavar="FOLDER",
        rich_help_panel=_WHERE,
        help="Where memories are kept; $XDG_DATA_HOME/forethought/experience without it.",
    ),
]
Tenant: TypeAlias = Annotated[
    str, typer.Option("--tenant", rich_help_panel=_WHERE, help="Whose memory it is; tenants never see each other's.")
]

_STATES = {"active": "green", "quarantined": "yellow", "retired": "dim"}


@app.callback()
def overview(context: typer.Context) -> None:
    """See what the layer [bold]experience[/bold] has learned: on each kind of problem it compares policies, and
    serves the cheapest of those that are right as often as the best. A policy is in quarantine until it has won
    against the default, and one that lost is retired. Without a command the memory is shown.

    [bold]Examples[/bold]

      forethought experience show --tenant acme
      forethought experience history
      forethought experience rollback 12

    [bold]Learned by a policy[/bold], from feedback on its runs

      layers = [{kind = "experience", default = "balanced", candidates = ["direct", "economy"]}]
    """
    if context.invoked_subcommand is None:
        shown(with_keeper(None, lambda keeper: keeper.editions("").latest()))


@app.command()
def show(store: StoreDirectory = None, tenant: Tenant = "") -> None:
    """Show each kind of problem with the policies that were tried on it: how often each was right, with the 90 %
    interval, what it took, and on how many problems it was better or worse than the default.

    [bold]Example[/bold]

      forethought experience show --tenant acme
    """
    shown(with_keeper(store, lambda keeper: keeper.editions(tenant).latest()))


@app.command()
def history(store: StoreDirectory = None, tenant: Tenant = "") -> None:
    """List the editions of the memory: what changed, and how many policies were in which state.

    [bold]Example[/bold]

      forethought experience history
    """
    table = _table(("edition", "what changed", "kinds", *_STATES))
    for edition in with_keeper(store, lambda keeper: keeper.editions(tenant).history()):
        records = list(_records(edition.content))
        counts = [sum(record.state == state for record in records) for state in _STATES]
        table.add_row(str(edition.version), escape(edition.why), *map(str, (len(edition.content.cells), *counts)))
    to_pipe().print(table)


@app.command()
def rollback(
    version: Annotated[int, typer.Argument(min=0, help="An edition of `history`; 0 is the empty memory.")],
    store: StoreDirectory = None,
    tenant: Tenant = "",
) -> None:
    """Go back to an earlier edition. It is written anew, as the latest, so that this too can be undone.

    [bold]Example[/bold]

      forethought experience rollback 12
    """
    shown(with_keeper(store, lambda keeper: keeper.rollback(tenant, version)))


@app.command()
def forget(
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    store: StoreDirectory = None,
    tenant: Tenant = "",
) -> None:
    """Erase all that was learned for a tenant, every edition of it. This cannot be undone.

    [bold]Example[/bold]

      forethought experience forget --tenant acme --yes
    """
    if not yes:
        typer.confirm("Erase every edition of this memory?", abort=True, err=True)
    shown(with_keeper(store, lambda keeper: keeper.forget(tenant)))


@app.command()
def check(
    policy: Annotated[str, typer.Argument(metavar="NAME|FILE", help="A policy with the layer `experience`.")],
    store: StoreDirectory = None,
    tenant: Tenant = "",
) -> None:
    """Check the memory against the constraints of a policy, and that all it serves is valid and bounded. Each
    violation is a line, and the exit code is 1 where there is one.

    [bold]Example[/bold]

      forethought experience check mine.toml
    """
    layer = _layer(policy)
    folder = store or (Path(layer.store) if layer.store else None)
    edition = with_keeper(folder, lambda keeper: keeper.editions(tenant).latest())
    broken = violations(edition.content, layer.suite)
    for each in broken:
        typer.echo(f"violated: {each.why}")
    if broken:
        raise typer.Exit(1)
    typer.echo(f"ok edition {edition.version}: {_counted(layer.suite)}")


def with_keeper(store: Path | None, act: Callable[[Keeper], Awaitable[T]]) -> T:
    """What `act` makes of the memories; a store that is not there is read as an empty one."""

    async def acted() -> T:
        async with DiskStore(store or home()) as kept:
            return await act(Keeper(kept))

    return asyncio.run(acted())


def shown(edition: Edition[Memory]) -> None:
    """The memory as a table on stdout with its notes, and which edition it is on stderr."""
    memory = edition.content
    table = _table(("kind of problem", "policy", "state", "scored", "right", "tokens", "usd", "better", "worse"))
    for cell in memory.cells:
        for row in _rows(cell):
            table.add_row(*row)
        table.add_section()
    if memory.cells:
        to_pipe().print(table)
    else:
        to_people().print("Nothing was learned yet. Give feedback on the runs of a policy with the layer `experience`.")
    for note in memory.notes:
        to_pipe().print(f"- {note}", markup=False, soft_wrap=True)
    which = f"edition {edition.version}: {edition.why or 'nothing written yet'}"
    to_people().print(which, style="dim", markup=False, soft_wrap=True)


def _rows(cell: Cell) -> Iterator[tuple[str, ...]]:
    kind = escape(f"{cell.signature.describe()} ({cell.key})")
    for record in sorted(cell.records.values(), key=lambda each: (list(_STATES).index(each.state), each.mean_tokens)):
        right = f"{record.accuracy:.0%} ({record.low:.0%}–{record.high:.0%})" if record.trials else "–"
        cost = "–" if record.cost is None or not record.runs else f"{record.cost / record.runs:.4f}"
        state = f"[{_STATES[record.state]}]{record.state}"
        counts = (f"{record.mean_tokens:.0f}", cost, str(record.better), str(record.worse))
        yield kind, record.name, state, str(record.trials), right, *counts
        kind = ""


def _layer(policy: str) -> Experience:
    layers = [layer for layer in load(policy).layers if isinstance(layer, Experience)]
    if not layers:
        raise InvalidPolicy("layers", policy, "a policy with the layer 'experience' is expected")
    return layers[0]


def _counted(suite: Suite) -> str:
    count = len(suite.constraints)
    return f"{count} of {count} constraints hold, and all that is served is valid and bounded"


def _records(memory: Memory) -> Iterator[Record]:
    return (record for cell in memory.cells for record in cell.records.values())


def _table(names: tuple[str, ...]) -> Table:
    first, second, *rest = names
    table = Table(box=SIMPLE_HEAD, show_edge=False, pad_edge=False)
    table.add_column(first, style="bold cyan", overflow="fold")
    table.add_column(second, overflow="fold")
    for name in rest:
        table.add_column(name, no_wrap=True, justify="left" if name == "state" else "right")
    return table
