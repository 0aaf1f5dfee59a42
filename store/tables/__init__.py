"""SQLModel tables, one aggregate per file. Importing this package registers them all."""

from store.tables import (
    billing,
    catalogue,
    clinical,
    devices,
    exchange,
    handling,
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
    "clinical",
    "devices",
    "exchange",
    "handling",
    "limits",
    "orders",
    "organisation",
    "patients",
    "recordings",
    "results",
    "sharing",
]
