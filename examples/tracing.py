"""Every run leaves a record: a tree of calls and decisions, to draw, to keep as JSON or to send to OpenTelemetry."""

import asyncio

from forethought import Engine, open_backend
from forethought.ports import Moment
from forethought.trace import Decided, Ended


def watch(moment: Moment) -> None:
    """A sink is any function; it is told each moment as it happens."""
    if isinstance(moment, Decided):
        print(
            f"{moment.decision.at:6.3f} s  {moment.node.name}: {moment.decision.what} {moment.decision.facts['text']}"
        )
    if isinstance(moment, Ended):
        node = moment.node
        print(f"{node.ended:6.3f} s  {node.name} ended: {node.end_reason}, {node.usage.completion_tokens} tokens")


async def main() -> None:
    await Engine(open_backend("pocket"), "balanced", sinks=[watch]).ask("a=3 b=a+4 c=b+8 c?")


asyncio.run(main())
