"""Search attributes of the Temporal namespace as plain data; `temporal-config/search-attributes.yaml` mirrors them.

They are stored unencrypted and shown in lists: business numbers and states only, never a patient's data. No attribute
is of type Text, which on PostgreSQL fails on a quote in the value.
Source: temporalio/temporal 1.32, schema/postgresql/v12/visibility (10 Keyword and 3 KeywordList columns per namespace).
"""

from __future__ import annotations

from types import MappingProxyType

ORDER_NO = "LabOrderNo"
"""Order number, e.g. `DEL-261123-0042`."""

STAGE = "LabStage"
"""Where the run stands."""

BRANCH = "LabBranch"
"""Branch code."""

PRIORITY = "LabPriority"
"""`routine`, `urgent` or `stat`."""

ATTENTION = "LabAttention"
"""Codes of what needs a person; empty when all is well."""

SEARCH_ATTRIBUTES = MappingProxyType(
    {ORDER_NO: "Keyword", STAGE: "Keyword", BRANCH: "Keyword", PRIORITY: "Keyword", ATTENTION: "KeywordList"}
)
"""Name to type as the server names it."""
