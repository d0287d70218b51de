"""`forethought ask`: one question, answered as a policy says; the answer goes to stdout, all else to stderr."""

from __future__ import annotations

import asyncio
import json
import sys
from typing import Annotated, Any

import typer

from ..budget import Budget
from ..engine import Engine
from ..errors import UpstreamProtocol
from ..fold import Partial
from ..trace import Run
from ..wire import Completion, Delta, Done, Request
from .options import Gguf, Money, Pocket, Policy, Scale, Seconds, Tokens, Upstream, Vector
from .recorder import Recorder
from .screen import to_people
from .source import Source, choose
from .telling import Telling, summary
from .tree import RunTree


def ask(
    question: Annotated[
        str | None, typer.Argument(help="What to ask; read from stdin where it is - or left out.")
    ] = None,
    policy: Policy = None,
    system: Annotated[str | None, typer.Option("--system", "-s", help="A system message.")] = None,
    model: Annotated[str | None, typer.Option("--model", "-m", help="The model, by the name its server knows.")] = None,
    pocket: Pocket = False,
    gguf: Gguf = None,
    upstream: Upstream = None,
    steering_vector: Vector = None,
    steering_scale: Scale = 1.0,
    temperature: Annotated[float | None, typer.Option(min=0, max=2, help="Sampling temperature.")] = None,
    seed: Annotated[int | None, typer.Option(help="Makes a run repeatable where the model allows it.")] = None,
    budget_tokens: Tokens = None,
    budget_usd: Money = None,
    budget_seconds: Seconds = None,
    trace: Annotated[bool, typer.Option("--trace", "-t", help="Draw the tree of the run afterwards.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print answer, usage and the whole run as JSON.")] = False,
) -> None:
    """Ask one question and let a policy decide how to think about it.

    [bold]Examples[/bold]

      forethought ask "a=3 b=a+4 c=b*7 c?" --policy balanced --trace
      forethought ask "Is 2027 prime?" --upstream http://127.0.0.1:11434/v1 -m qwen3
      forethought ask "How far is the moon?" --gguf model.gguf --budget-tokens 500
      echo "a=3 b=a+4 b?" | forethought ask --json | jq .answer
    """
    source = choose(pocket=pocket, gguf=gguf, upstream=upstream).steered(steering_vector, steering_scale)
    budget = Budget(output_tokens_limit=budget_tokens, cost_limit=budget_usd, time_limit_s=budget_seconds)
    params = {"model": model, "temperature": temperature, "seed": seed}
    request = Request.of(_read(question), system=system, **{n: v for n, v in params.items() if v is not None})
    completion, run = asyncio.run(_answer(source, policy, budget, request, stream=not as_json))
    if as_json:
        typer.echo(json.dumps(_as_json(completion, run), ensure_ascii=False, indent=2))
    people = to_people()
    if trace:
        people.print(RunTree(run.root))
    people.print(summary(completion, run), style="dim", soft_wrap=True)


def _read(question: str | None) -> str:
    """The question itself, or what is piped in."""
    if question in (None, "-"):
        question = "" if sys.stdin.isatty() else sys.stdin.read()
    if question and question.strip():
        return question.strip()
    raise typer.BadParameter('give a question, as in: forethought ask "a=3 b=a+4 b?"')


async def _answer(
    source: Source, policy: str | None, budget: Budget, request: Request, *, stream: bool
) -> tuple[Completion, Run]:
    recorder = Recorder()
    async with source.opened() as backend:
        engine = Engine(backend, policy, budget=budget, sinks=[recorder])
        with Telling(to_people(), answer=stream) as telling:
            telling.say(f"asking {source.label}{f', policy {engine.policy.name}' if policy else ''}")
            completion = await _follow(engine, request, telling)
    return completion, recorder.runs[-1]


async def _follow(engine: Engine, request: Request, telling: Telling) -> Completion:
    said = Partial()
    async with engine.stream(request) as events:
        async for event in events:
            telling.show(event)
            if isinstance(event, Delta):
                said.add(event)
            elif isinstance(event, Done):
                return said.completion(event)
    raise UpstreamProtocol("the stream ended without saying why it ended")


def _as_json(completion: Completion, run: Run) -> dict[str, Any]:
    done = completion.done
    return {
        "answer": completion.text,
        "reasoning": completion.reasoning,
        "finish_reason": done.finish_reason,
        "stop_reason": done.stop_reason,
        "usage": run.to_json()["root"]["usage"],
        "cost_usd": None if done.cost is None else str(done.cost),
        "report": dict(done.report),
        "run": run.to_json(),
    }
