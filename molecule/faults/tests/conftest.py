"""The application of this scenario, on all of its hosts."""

from __future__ import annotations

from hostlab.fixtures import deployed, shop, shops, streams

__all__ = ["deployed", "shop", "shops", "streams"]
