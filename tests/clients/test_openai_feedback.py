"""A wrapped `openai` client takes feedback where the proxy does. Runs on 2.x and 3.x."""

from __future__ import annotations

from typing import Any

import openai
import pytest

from forethought.policy import Policy
from support.learning import Attentive
from support.sdk import Sdk
from support.upstream import Upstream


async def give(sdk: Sdk, client: Any, body: Any) -> Any:
    return await sdk.call(client.post, "/forethought/feedback", body=body, cast_to=object)


async def test_feedback_reaches_the_layer(sdk: Sdk, upstream: Upstream) -> None:
    """It is answered by the copy itself: the client's own server is asked for the completion alone."""
    layer = Attentive()
    client = sdk.wrapped(Policy("learning", layers=(layer,)))
    run = (await sdk.create(client)).model_extra["forethought"]["run_id"]
    assert await give(sdk, client, {"run_id": run, "score": 1, "answer": "42"}) == {"known": True}
    assert layer.heard == [(run, 1.0, "42")]
    assert [request.path for request in upstream.requests] == ["/v1/chat/completions"]


async def test_a_run_that_nobody_knows(sdk: Sdk) -> None:
    """Raises what the SDK raises for what is not found."""
    with pytest.raises(openai.NotFoundError, match="run_7"):
        await give(sdk, sdk.wrapped(), {"run_id": "run_7", "score": 1})


async def test_a_wrong_field_is_named(sdk: Sdk) -> None:
    """Raises what the SDK raises for a request that is wrong."""
    with pytest.raises(openai.BadRequestError) as refused:
        await give(sdk, sdk.wrapped(), {"run_id": "run_7", "score": 3})
    assert refused.value.param == "score"
