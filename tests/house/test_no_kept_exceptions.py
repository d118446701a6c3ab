"""No exception is made once and raised many times: it would keep the frames of every request it was for."""

from __future__ import annotations

import importlib
from collections.abc import Iterator, Mapping
from types import ModuleType
from typing import Any

from tests.house.project import product_modules

_NOT_IMPORTABLE = {"broker.gunicorn_config", "broker.storage.migrations.env"}
"""Read by Gunicorn and by Alembic, inside them."""
_SHOWN = {("broker.api.openapi_examples", "EXAMPLES"), ("broker.api.openapi", "EXAMPLES")}
"""Examples in the API's description: written down as documents, never raised."""


def _is_exception(value: Any) -> bool:
    if isinstance(value, Mapping):
        return any(map(_is_exception, value.values()))
    if isinstance(value, list | tuple | frozenset):
        return any(map(_is_exception, value))
    return isinstance(value, BaseException)


def kept_exceptions(module: ModuleType) -> Iterator[str]:
    """Yield the names of a module, and of its classes, behind which an exception object stands."""
    classes = [one for one in vars(module).values() if isinstance(one, type)]
    own = [one for one in classes if one.__module__ == module.__name__]
    for scope in (module, *own):
        for name, value in vars(scope).items():
            if not name.startswith("__") and _is_exception(value):
                yield name


def test_no_module_keeps_an_exception() -> None:
    found = {
        (module, name)
        for module in product_modules()
        if module not in _NOT_IMPORTABLE and not module.endswith("__main__")
        for name in kept_exceptions(importlib.import_module(module))
    }
    assert found - _SHOWN == set()


def test_an_exception_that_is_kept_would_be_found() -> None:
    module = ModuleType("keeper")
    module.__dict__["_ERRORS"] = {"slow": (ValueError("once"), 1), "fast": "words"}
    module.__dict__["_words"] = ("fast", KeyError)
    assert list(kept_exceptions(module)) == ["_ERRORS"]
