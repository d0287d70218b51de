"""Forethought: decide how to think — how long, how often, when to stop, what to trust — over any model."""

from __future__ import annotations

from .budget import Budget
from .clients import wrap
from .context import Context, Price, Usage
from .engine import Engine
from .errors import (
    BudgetExceeded,
    EngineStopped,
    ForethoughtError,
    InvalidModelFile,
    InvalidPolicy,
    InvalidRequest,
    MissingCapability,
    MissingExtra,
    StoreError,
    UpstreamError,
    UpstreamProtocol,
    UpstreamStatus,
    UpstreamTimeout,
    UpstreamUnreachable,
)
from .fold import complete
from .plugins import open_backend
from .policy import Policy
from .ports import Backend, Capabilities, Continuation, Judge, Layer, Sink, Steer, Store, Stream
from .pricing import Prices
from .stack import stack
from .wire import Completion, Delta, Done, Event, Note, Prefix, Request, TokenLogprob

__version__ = "0.1.0"

__all__ = [
    "Backend",
    "Budget",
    "BudgetExceeded",
    "Capabilities",
    "Completion",
    "Context",
    "Continuation",
    "Delta",
    "Done",
    "Engine",
    "EngineStopped",
    "Event",
    "ForethoughtError",
    "InvalidModelFile",
    "InvalidPolicy",
    "InvalidRequest",
    "Judge",
    "Layer",
    "MissingCapability",
    "MissingExtra",
    "Note",
    "Policy",
    "Prefix",
    "Price",
    "Prices",
    "Request",
    "Sink",
    "Steer",
    "Store",
    "StoreError",
    "Stream",
    "TokenLogprob",
    "UpstreamError",
    "UpstreamProtocol",
    "UpstreamStatus",
    "UpstreamTimeout",
    "UpstreamUnreachable",
    "Usage",
    "__version__",
    "complete",
    "open_backend",
    "stack",
    "wrap",
]
