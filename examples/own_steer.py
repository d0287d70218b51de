"""A steer of your own: stop thinking at the first conclusion. It does no I/O, so `next` and `send` test it."""

import asyncio
from dataclasses import dataclass

from forethought import Delta, Engine, Policy, open_backend
from forethought.ports import Continue, Situation, Steering, Stop
from forethought.steer.drive import Steered


@dataclass(frozen=True, slots=True)
class FirstConclusion(Steered):
    """Ends the thinking once a line says `mark` and what follows from it."""

    kind = "first_conclusion"
    mark: str = "\nso "

    def steer(self, _: Situation, /) -> Steering:
        thought = ""
        seen = yield Continue()
        while True:
            thought += seen.reasoning if isinstance(seen, Delta) else ""
            concluded = "\n" in thought.partition(self.mark)[2]
            seen = yield Stop("concluded") if concluded else Continue()


async def main() -> None:
    backend = open_backend("pocket")
    for policy in (Policy("to the end"), Policy("to the point", layers=(FirstConclusion(),))):
        answer = await Engine(backend, policy).ask("a=3 b=a+4 c=b+8 c?", seed=1)
        print(f"{policy.name}: {answer.text}, {answer.usage.completion_tokens} tokens")


asyncio.run(main())
