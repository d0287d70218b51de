"""The first answer: a model in this process thinks several times, and its answers vote. No key, no network."""

import asyncio

from forethought import Engine, open_backend


async def main() -> None:
    engine = Engine(open_backend("pocket"), "balanced")
    answer = await engine.ask("a=3 b=a+4 c=b+8 c?")
    print(answer.text, answer.done.report["votes"], answer.usage.completion_tokens, "tokens")


asyncio.run(main())
