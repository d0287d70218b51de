"""What callers say of an answer afterwards, for the layers that learn: `POST …/forethought/feedback`."""

from __future__ import annotations

from ..errors import InvalidRequest
from ..learn.feedback import tell
from . import jsonio
from .errors import Refused
from .select import Selector

PATH = "/forethought/feedback"
_FIELDS = ("run_id", "score", "answer")


async def take(body: bytes, selector: Selector) -> bytes:
    """Tell the layers of every policy that `selector` knows, and answer `{"known": true}`.

    `body` is `{"run_id", "score", "answer"?}`, with the `forethought.run_id` of a completion. Raises InvalidRequest
    naming the field that is wrong, Refused with 404 for a run that nobody knows, and StoreError.
    """
    given = jsonio.read_object(body)
    for name, value in given.items():
        if name not in _FIELDS:
            raise InvalidRequest(name, value, f"the fields are {', '.join(_FIELDS)}")
    run_id = given.get("run_id")
    if not await tell((selector.policies, selector.default), run_id, given.get("score"), answer=given.get("answer")):
        hint = "no layer of this server learns from it, or it was too long ago"
        raise Refused(404, "run_not_found", f"run_id: got {run_id!r}; {hint}", param="run_id")
    return jsonio.write({"known": True})
