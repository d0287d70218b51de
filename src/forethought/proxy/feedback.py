"""`POST /v1/forethought/feedback`: how good the answer of a run was."""

from __future__ import annotations

from dataclasses import dataclass

from starlette.types import Receive, Scope, Send

from ..front.feedback import take
from ..front.select import Selector
from .asgi import JSON_TYPE, Gone, read_json_body, request_id, send_whole
from .chat import Access


@dataclass(frozen=True, slots=True)
class Feedback:
    """The endpoint, an ASGI app; whoever may ask may give feedback, on a run whose id they were told."""

    access: Access
    selector: Selector
    max_body_bytes: int

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            body = await read_json_body(scope, receive, self.max_body_bytes)
        except Gone:
            return
        self.access.backend_for(scope)
        await send_whole(send, 200, await take(body, self.selector), [JSON_TYPE, *request_id()])
