"""Typed search attribute keys. They are not encrypted: order numbers, stages and codes only."""

from temporalio.common import SearchAttributeKey

ORDER_NO = SearchAttributeKey.for_keyword("LabOrderNo")
STAGE = SearchAttributeKey.for_keyword("LabStage")
BRANCH = SearchAttributeKey.for_keyword("LabBranch")
PRIORITY = SearchAttributeKey.for_keyword("LabPriority")
ATTENTION = SearchAttributeKey.for_keyword_list("LabAttention")
