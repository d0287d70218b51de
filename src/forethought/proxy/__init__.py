"""The OpenAI-compatible front: `create_app` makes an ASGI app over any backend, `serve` runs it.

Needs the extra `proxy`; raises MissingExtra where it is not installed.
"""

from ..errors import MissingExtra

try:
    from .app import create_app
    from .server import serve, serving
    from .upstream import Relaying
except ModuleNotFoundError as missing:
    raise MissingExtra(missing.name or "starlette", "proxy") from missing

__all__ = ["Relaying", "create_app", "serve", "serving"]
