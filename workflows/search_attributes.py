"""Typed search attribute keys. They are not encrypted: order numbers, stages and codes only."""

from temporalio.common import SearchAttributeKey

from domain import search_attributes as names

ORDER_NO = SearchAttributeKey.for_keyword(names.ORDER_NO)
STAGE = SearchAttributeKey.for_keyword(names.STAGE)
BRANCH = SearchAttributeKey.for_keyword(names.BRANCH)
PRIORITY = SearchAttributeKey.for_keyword(names.PRIORITY)
ATTENTION = SearchAttributeKey.for_keyword_list(names.ATTENTION)
