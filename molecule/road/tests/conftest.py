"""The application of this scenario, on all of its hosts."""

from __future__ import annotations

from hostlab.fixtures import shop, shops, streams

__all__ = ["shop", "shops", "streams"]
