"""README's commands and files, as a reader would copy them."""

from __future__ import annotations

import re

from hostlab.controller import CHECKOUT


def blocks(language: str) -> list[str]:
    """The contents of README's fenced blocks of a language, in their order."""
    text = (CHECKOUT / "README.md").read_text()
    return [block.strip("\n") for block in re.findall(rf"^```{language}\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)]
