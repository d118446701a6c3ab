"""A request whose body may not be one."""

from __future__ import annotations

from typing import Any

from flask import Request
from werkzeug.exceptions import BadRequest, HTTPException


class ReadableRequest(Request):
    """A request whose body is a bad request where the server under us finds no body: chunks that are none.

    What it raises then is a matter of that server, and no failure of ours.
    """

    def _load_form_data(self) -> None:
        try:
            super()._load_form_data()
        except HTTPException:
            raise
        except Exception:
            raise BadRequest from None

    def get_data(self, *given: Any, **options: Any) -> Any:
        """Return the body as received. Raises HTTPException."""
        try:
            return super().get_data(*given, **options)
        except HTTPException:
            raise
        except Exception:
            raise BadRequest from None
