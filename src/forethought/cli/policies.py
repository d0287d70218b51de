"""`forethought policies`: what is installed, what it can cost at worst, what a file of yours may say."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.box import SIMPLE_HEAD
from rich.table import Table

from .. import policy
from ..errors import InvalidPolicy
from ..kinds import Kind
from ..policy import Policy
from ..ports import Bound
from ..stack import kind_of
from .kinds import kinds, signature, table_of
from .kinds import markdown as as_markdown
from .screen import to_pipe

app = typer.Typer(invoke_without_command=True, rich_markup_mode="rich")


@app.callback()
def listing(context: typer.Context) -> None:
    """List, show and check policies: how to think, as data. The cheapest is listed first.

    [bold]Examples[/bold]

      forethought policies
      forethought policies show balanced > mine.toml
      forethought policies check mine.toml
    """
    if context.invoked_subcommand is None:
        to_pipe().print(_table(list(policy.available().values())))


@app.command()
def show(name: Annotated[str, typer.Argument(help="The name of a policy, or a file.")]) -> None:
    """Print a policy as TOML: the start of one of your own.

    [bold]Example[/bold]

      forethought policies show balanced > mine.toml
    """
    typer.echo(policy.load(name).to_toml(), nl=False)


@app.command()
def check(file: Annotated[Path, typer.Argument(metavar="FILE", help="A .toml or .json file.")]) -> None:
    """Say whether a policy file is right and what it can cost at worst; else which line and field are wrong.

    [bold]Example[/bold]

      forethought policies check mine.toml
    """
    checked = policy.load(file)
    to_pipe().print(
        f"[green]ok[/green] {file}: policy {checked.name!r}, {_layers(checked)}; "
        f"at worst {_worst(checked.worst_case())}",
        soft_wrap=True,
    )


@app.command(name="kinds")
def reference(
    name: Annotated[str, typer.Argument(metavar="[KIND]", help="One kind, with all that is to know of it.")] = "",
    markdown: Annotated[bool, typer.Option("--markdown", help="The table in Markdown.")] = False,
) -> None:
    """List what a policy file may name as `kind`: strategies and judges, with their options and defaults.

    [bold]Examples[/bold]

      forethought policies kinds
      forethought policies kinds brake
    """
    if markdown:
        typer.echo(as_markdown())
    elif name:
        typer.echo(_manual(_kind(name)))
    else:
        to_pipe().print(_kinds())


def _kind(name: str) -> Kind:
    known = {kind.name: kind for kind in kinds()}
    if name not in known:
        raise InvalidPolicy("kind", name, f"the kinds are {', '.join(known)}")
    return known[name]


def _manual(kind: Kind) -> str:
    written = {name: option.written for name, option in kind.options.items()}
    options = (f"{name} = {default}" if default else name for name, default in written.items())
    return "\n".join((f"{kind.name} ({table_of(kind)})", kind.summary, "", kind.contract, "", *options))


def _kinds() -> Table:
    table = Table(box=SIMPLE_HEAD, show_edge=False, pad_edge=False)
    table.add_column("kind", style="bold cyan", no_wrap=True)
    table.add_column("in", no_wrap=True)
    table.add_column("what it does", ratio=3)
    table.add_column("options and defaults", ratio=2)
    for kind in kinds():
        table.add_row(kind.name, table_of(kind), kind.summary, signature(kind))
    return table


def _table(policies: list[Policy]) -> Table:
    table = Table(box=SIMPLE_HEAD, show_edge=False, pad_edge=False)
    table.add_column("policy", style="bold cyan", no_wrap=True)
    table.add_column("when to use it", ratio=1)
    table.add_column("layers, outermost first", no_wrap=True)
    table.add_column("at worst", no_wrap=True)
    for each in policies:
        table.add_row(each.name, each.when, _layers(each), _worst(each.worst_case()))
    return table


def _layers(chosen: Policy) -> str:
    return " › ".join(kind_of(layer) for layer in chosen.layers) or "no layers"


def _worst(bound: Bound) -> str:
    calls = f"{bound.requests} call{'s' if bound.requests != 1 else ''}"
    return calls if bound.output_tokens is None else f"{calls}, {bound.output_tokens} tokens"
