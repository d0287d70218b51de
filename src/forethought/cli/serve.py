"""`forethought serve`: the OpenAI-compatible proxy, in front of a server or of a model in this process."""

from __future__ import annotations

import json
from importlib import import_module
from typing import Annotated

import typer

from .. import policy as policies
from ..budget import Budget
from .options import Gguf, Money, Pocket, Policy, Scale, Seconds, Tokens, Upstream, Vector
from .screen import complain, to_people
from .source import Source, choose


def serve(
    host: Annotated[str, typer.Option(help="The address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="The port to listen on; 0 takes a free one.")] = 8000,
    policy: Policy = None,
    pass_through_key: Annotated[
        bool, typer.Option("--pass-through-key", help="Ask the upstream with each caller's own key.")
    ] = False,
    pocket: Pocket = False,
    gguf: Gguf = None,
    upstream: Upstream = None,
    steering_vector: Vector = None,
    steering_scale: Scale = 1.0,
    budget_tokens: Tokens = None,
    budget_usd: Money = None,
    budget_seconds: Seconds = None,
) -> None:
    """Serve any OpenAI client, with a policy for those that name one. Ctrl-C lets running answers end.

    [bold]Examples[/bold]

      forethought serve
      forethought serve --upstream http://127.0.0.1:11434/v1 --policy balanced
      forethought serve --upstream https://api.openai.com/v1 --pass-through-key
      forethought serve --gguf model.gguf --port 9000 --budget-tokens 4000
    """
    # The web server is an extra, and takes longer to import than all the rest.
    proxy = import_module("forethought.proxy")
    source = choose(pocket=pocket, gguf=gguf, upstream=upstream).steered(steering_vector, steering_scale)
    budget = Budget(output_tokens_limit=budget_tokens, cost_limit=budget_usd, time_limit_s=budget_seconds)
    with to_people().status(f"opening {source.label} …"):
        backend = source.loaded()
    app = proxy.create_app(
        backend,
        default=policy,
        model_ids=[source.model] if source.model else None,
        pass_through_key=pass_through_key,
        budget=None if budget == Budget() else budget,
    )

    def greet(url: str) -> None:
        to_people().print(*_greeting(url, source, policy), sep="\n", soft_wrap=True)

    try:
        proxy.serve(app, host=host, port=port, ready=greet)
    except OSError as error:
        complain(f"cannot listen on {host}:{port}: {error.strerror}")
        raise typer.Exit(1) from error


def _greeting(url: str, source: Source, policy: str | None) -> tuple[str, ...]:
    model = source.model or "MODEL"
    question = {"model": f"balanced/{model}", "messages": [{"role": "user", "content": "a=3 b=a+4 b?"}]}
    aliases = ", ".join(f"{name}/{model}" for name in policies.available())
    return (
        f"[bold green]Forethought[/bold green] at [bold]{url}/v1[/bold], in front of {source.label}",
        f"policy by default: {policy or 'none, requests go on as they are'}",
        f"policy by model name: {aliases}",
        "",
        f"  curl {url}/v1/chat/completions -H 'content-type: application/json' \\\n    -d '{json.dumps(question)}'",
        "",
        "[dim]Ctrl-C to stop; answers that have begun are finished first.[/dim]",
    )
