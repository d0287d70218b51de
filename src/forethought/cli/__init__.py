"""Commands: `demo`, `ask`, `serve`, `policies`, `evaluate`, `calibrate`, `handbook`, `experience`, `steer-vector`."""

from __future__ import annotations

import sys
from importlib.metadata import version
from typing import Annotated

import typer

from ..errors import ForethoughtError, InvalidPolicy, InvalidRequest, MissingCapability, MissingExtra
from ..plugins import UnknownPlugin
from . import experience, handbook, policies
from .ask import ask
from .calibrate import calibrate
from .demo import demo
from .evaluate import evaluate
from .handbook_learn import learn
from .screen import complain
from .serve import serve
from .steer_vector import steer_vector

USAGE = 2
FAILURE = 1

app = typer.Typer(
    help="Decide how to think: how long, how often, when to stop, what to trust. Over any model.",
    epilog="First time here? Run [bold]forethought demo[/bold]: no key and no network are needed.",
    no_args_is_help=True,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command("demo")(demo)
app.command("ask")(ask)
app.command("serve")(serve)
app.command("evaluate")(evaluate)
app.command("calibrate")(calibrate)
app.command("steer-vector")(steer_vector)
app.add_typer(policies.app, name="policies")
handbook.app.command("learn")(learn)
app.add_typer(handbook.app, name="handbook")
app.add_typer(experience.app, name="experience")


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"forethought {version('forethought')}")
        raise typer.Exit


@app.callback()
def _options(
    _version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    pass


def main() -> None:
    """Run the command line; an error of ours is one line on stderr, with exit code 2 where the caller can mend it."""
    reconfigure = getattr(sys.stdout, "reconfigure", None)
    if reconfigure is not None:
        reconfigure(errors="replace")  # where a terminal has no such letter, an answer must still show
    try:
        app()
    except ForethoughtError as error:
        complain(error)
        mendable = isinstance(error, InvalidPolicy | InvalidRequest | MissingCapability | MissingExtra | UnknownPlugin)
        sys.exit(USAGE if mendable else FAILURE)
