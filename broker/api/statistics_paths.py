"""Where the resources of statistics lie, for whoever serves them and whoever says that it does not."""

from __future__ import annotations

from typing import Final

EXPORTS_PATH: Final = "/v1/statistics/exports"
CATALOGUE_PATH: Final = "/v1/statistics/catalogue"
