"""Wrap the client you have: the copy answers by a policy, its type stays the same and the original untouched.

Any OpenAI-compatible server can stand where this example puts the pocket model on 127.0.0.1.
"""

import asyncio

from openai import AsyncOpenAI

from forethought import Budget, open_backend, wrap
from forethought.proxy import create_app, serving


async def main() -> None:
    async with serving(create_app(open_backend("pocket"))) as url:
        client = AsyncOpenAI(base_url=f"{url}/v1", api_key="none")
        thoughtful = wrap(client, policy="balanced", budget=Budget(output_tokens_limit=2000))
        answer = await thoughtful.chat.completions.create(
            model="pocket", messages=[{"role": "user", "content": "a=3 b=a+4 c=b+8 c?"}]
        )
    print(type(thoughtful).__name__, "says", answer.choices[0].message.content)
    print("votes:", (answer.model_extra or {})["forethought"]["votes"])


asyncio.run(main())
