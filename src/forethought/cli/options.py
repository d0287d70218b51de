"""Options that more than one command has."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, TypeAlias

import typer

_MODEL = "Which model"
_BUDGET = "Budget of each question"

Pocket: TypeAlias = Annotated[
    bool, typer.Option("--pocket", rich_help_panel=_MODEL, help="The embedded pocket model: no key, no network.")
]
Gguf: TypeAlias = Annotated[
    Path | None,
    typer.Option("--gguf", metavar="FILE", rich_help_panel=_MODEL, help="A GGUF file, run in this process."),
]
Upstream: TypeAlias = Annotated[
    str | None,
    typer.Option(
        "--upstream",
        metavar="URL",
        rich_help_panel=_MODEL,
        help="An OpenAI-compatible server, such as http://127.0.0.1:11434/v1; its key is read from OPENAI_API_KEY. "
        "Without any of these, OPENAI_BASE_URL is asked, else the pocket model.",
    ),
]
Vector: TypeAlias = Annotated[
    Path | None,
    typer.Option(
        "--steering-vector",
        metavar="FILE",
        rich_help_panel=_MODEL,
        help="A control vector for a model in this process, as `forethought steer-vector` makes one.",
    ),
]
Scale: TypeAlias = Annotated[
    float,
    typer.Option(
        "--steering-scale", min=-100, max=100, rich_help_panel=_MODEL, help="How many times the vector is added."
    ),
]
Policy: TypeAlias = Annotated[
    str | None,
    typer.Option("--policy", "-p", metavar="NAME|FILE", help="How to think; without a policy the model is asked once."),
]
Tokens: TypeAlias = Annotated[
    int | None,
    typer.Option("--budget-tokens", rich_help_panel=_BUDGET, help="The most tokens written, over all calls together."),
]
Money: TypeAlias = Annotated[
    str | None,
    typer.Option("--budget-usd", metavar="USD", rich_help_panel=_BUDGET, help="The most money, such as 0.05."),
]
Seconds: TypeAlias = Annotated[
    float | None,
    typer.Option("--budget-seconds", rich_help_panel=_BUDGET, help="The most time; an answer is still written."),
]
