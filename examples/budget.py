"""One budget over several questions: concurrent thoughts never overspend it together, and answers still come."""

import asyncio

from forethought import Budget, BudgetExceeded, Engine, open_backend

QUESTIONS = ("a=3 b=a+4 b?", "k=7 m=k+8 n=m-2 n?", "x=5 y=x+9 z=y-6 z?", "p=1 q=p+6 q?")


async def main() -> None:
    engine = Engine(open_backend("pocket"), "balanced")
    with Budget(output_tokens_limit=700) as scope:
        for question in QUESTIONS:
            try:
                answer = await engine.ask(question)
            except BudgetExceeded as exceeded:
                print(question, "→ not a token left:", exceeded.limit)
                continue
            print(question, "→", answer.text, f"({answer.done.stop_reason})")
    print("spent", scope.spent.completion_tokens, "of 700 tokens in", scope.spent.requests, "calls")


asyncio.run(main())
