"""Any OpenAI client, unmodified, through the proxy: the name of the model says how to think."""

import asyncio

from openai import AsyncOpenAI

from forethought import open_backend
from forethought.proxy import create_app, serving


async def main() -> None:
    # In a shell the server is: forethought serve
    async with serving(create_app(open_backend("pocket"))) as url:
        client = AsyncOpenAI(base_url=f"{url}/v1", api_key="none")
        print("models:", ", ".join([model.id async for model in client.models.list()]))
        stream = await client.chat.completions.create(
            model="balanced/pocket",
            messages=[{"role": "user", "content": "a=3 b=a+4 c=b+8 c?"}],
            stream=True,
            stream_options={"include_usage": True},
        )
        async for chunk in stream:
            if chunk.choices:
                print(chunk.choices[0].delta.content or "", end="")
            elif chunk.usage:
                print("\nusage:", chunk.usage.completion_tokens, "tokens for the whole vote")


asyncio.run(main())
