"""SQLModel tables, one aggregate per file. Importing this package registers them all."""

from store.tables import (
    billing,
    catalogue,
    devices,
    exchange,
    limits,
    orders,
    organisation,
    patients,
    recordings,
    results,
    sharing,
)

__all__ = [
    "billing",
    "catalogue",
    "devices",
    "exchange",
    "limits",
    "orders",
    "organisation",
    "patients",
    "recordings",
    "results",
    "sharing",
]
