"""What the server imports: `wsgi:app`."""

from __future__ import annotations

from reference import create_app

app = create_app()
