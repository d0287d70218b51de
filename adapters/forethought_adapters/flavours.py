"""What OpenAI-compatible servers differ in: how they are asked to go on, and what they can tell."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, TypeAlias
from urllib.parse import urlsplit

from forethought.errors import InvalidPolicy, MissingCapability
from forethought.ports import Continuation
from forethought.thinking import THINK, Phase, Splitter
from forethought.wire import Prefix, Request

Body: TypeAlias = dict[str, Any]
Prefill: TypeAlias = Callable[[Body, Prefix], Body]


@dataclass(frozen=True, slots=True)
class Flavour:
    """One kind of server.

    `tags` says that its thinking may come as tags inside the content, `old_limit` that it knows the ceiling
    for completion tokens only as `max_tokens`; `silence_s` is how long it may say nothing.
    """

    name: str
    continuation: Continuation = Continuation.TURNS
    prefill: Prefill | None = None
    logprobs: bool = True
    grammar: bool = False
    tags: bool = True
    old_limit: bool = False
    silence_s: float = 60.0


def vllm_prefill(body: Body, prefix: Prefix) -> Body:
    """The last assistant message is continued as it stands, thinking included as text."""
    text = prefix.answer
    if prefix.reasoning or prefix.closed:
        closing = "" if prefix.thinking else f"\n{THINK.close}\n\n{prefix.answer}"
        text = f"{THINK.open}\n{prefix.reasoning}{closing}"
    message = {"role": "assistant", "content": text}
    return _with_last(body, message) | {"continue_final_message": True, "add_generation_prompt": False}


def llamacpp_prefill(body: Body, prefix: Prefix) -> Body:
    """The last assistant message is continued in the field that is named; what follows is not parsed by the server."""
    message = {"role": "assistant", "content": prefix.answer, "reasoning_content": prefix.reasoning}
    return _with_last(body, message) | {
        "continue_final_message": "reasoning_content" if prefix.thinking else "content",
        "add_generation_prompt": False,
        "reasoning_format": "none",
    }


def deepseek_prefill(body: Body, prefix: Prefix) -> Body:
    """The last assistant message is marked as a prefix."""
    message: Body = {"role": "assistant", "content": prefix.answer, "prefix": True}
    if prefix.reasoning:
        message["reasoning_content"] = prefix.reasoning
    return _with_last(body, message)


def _with_last(body: Body, message: Body) -> Body:
    return {**body, "messages": [*body["messages"], message]}


FLAVOURS: Mapping[str, Flavour] = {
    flavour.name: flavour
    for flavour in (
        # OpenAI's models think for minutes without a word, which its own client allows.
        Flavour("openai", tags=False, silence_s=600.0),
        Flavour("vllm", Continuation.ANSWER, vllm_prefill, grammar=True),
        Flavour("llamacpp", Continuation.REASONING, llamacpp_prefill, grammar=True),
        Flavour("deepseek", Continuation.ANSWER, deepseek_prefill, tags=False, old_limit=True),
        Flavour("generic", logprobs=False, old_limit=True),
    )
}
HOSTS = {"api.openai.com": "openai", "api.deepseek.com": "deepseek"}


def flavour_of(name: str, base_url: str) -> Flavour:
    """The flavour of this name; `auto` takes it from the host, for which everything unknown is generic.

    DeepSeek itself continues an answer only under its `/beta` URL.
    """
    url = urlsplit(base_url)
    if name == "auto":
        azure = (url.hostname or "").endswith(".openai.azure.com")
        name = "openai" if azure else HOSTS.get(url.hostname or "", "generic")
    if name not in FLAVOURS:
        raise InvalidPolicy("flavour", name, f"one of auto, {', '.join(FLAVOURS)} is expected")
    if url.hostname == "api.deepseek.com" and not url.path.startswith("/beta"):
        return replace(FLAVOURS[name], continuation=Continuation.TURNS, prefill=None)
    return FLAVOURS[name]


def prefix_of(request: Request) -> Prefix | None:
    """The prefix that is to be continued; one that says nothing is none."""
    return None if request.prefix in (None, Prefix()) else request.prefix


def thinking_is_over(request: Request) -> bool:
    """Whether all that the request will bring is answer."""
    prefix = prefix_of(request)
    return prefix is not None and not prefix.thinking


def body_of(flavour: Flavour, request: Request) -> Body:
    """The JSON that asks this server for a stream; raises MissingCapability for a prefix it cannot continue."""
    body = request.to_json()
    body.pop("n", None)
    if flavour.old_limit and "max_completion_tokens" in body:
        body["max_tokens"] = body.pop("max_completion_tokens")
    body |= {"stream": True, "stream_options": {**(body.get("stream_options") or {}), "include_usage": True}}
    prefix = prefix_of(request)
    if prefix is None:
        return body
    needed = Continuation.REASONING if prefix.thinking else Continuation.ANSWER
    if flavour.prefill is None or flavour.continuation < needed:
        raise MissingCapability("prefix", flavour.name, f"continuation of the {needed.name.lower()}")
    return flavour.prefill(body, prefix)


def splitter_of(flavour: Flavour, request: Request) -> Splitter | None:
    """What parts thinking from answer in the text this request will bring, None where the server does it."""
    prefix = prefix_of(request)
    if not flavour.tags or thinking_is_over(request):
        return None
    return Splitter(THINK, Phase.THINKING if prefix else Phase.BEFORE)
