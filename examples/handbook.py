"""A handbook: the one-line rule that fits a question joins the system message, and the thought gets shorter."""

import asyncio

from forethought import Engine, Policy, open_backend
from forethought.shape.handbook import Handbook

QUESTIONS = ("k=7 m=k+k+k+k+k+k+k n=m+2 n?", "a=3 b=a+4 c=b+8 d=c+5 e=d*0 f=e+6 g=f+2 g?", "a=3 b=a+4 c=b-2 c?")
ADVISED = Policy("advised", layers=(Handbook("pocket", cite=False),))


async def main() -> None:
    backend = open_backend("pocket")
    for question in QUESTIONS:
        plain = await Engine(backend).ask(question, temperature=0)
        advised = await Engine(backend, ADVISED).ask(question, temperature=0)
        served = advised.done.report.get("handbook", {}).get("served", ["no rule fits"])
        tokens = f"{plain.usage.total_tokens} → {advised.usage.total_tokens} tokens"
        print(f"{question:46} {plain.text} → {advised.text}  {tokens}  {', '.join(served)}")


asyncio.run(main())
