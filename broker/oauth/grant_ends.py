"""Why grants end: words that the floors below and above the authorization server share."""

from __future__ import annotations

from typing import Literal, TypeAlias

GrantEnd: TypeAlias = Literal["client", "code_replay"]
"""Why a whole grant ends at once: its client gave it back, or a code of it was tried a second time."""
