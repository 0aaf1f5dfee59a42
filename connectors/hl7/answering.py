"""Which answer a query gets: by the form in which the device asked, in the style of its profile."""

from __future__ import annotations

from typing import Final

from connectors.hl7 import replies_cepheid, replies_display, replies_law, replies_worklist
from connectors.hl7.replies import Inquiry, Reply

_BY_FORM: Final = {
    "parameters": replies_law.answer,
    "cepheid": replies_cepheid.answer,
    "display": replies_display.answer,
    "order": replies_worklist.answer,
}
UNASKED_STYLES: Final = frozenset({"law", "roche_law", "oml"})
"""Styles in which work can be sent to a device that did not ask."""


def answer_query(inquiry: Inquiry) -> Reply | None:
    """Return the answer, or None for a query taken back, which is only acknowledged.

    A Mindray or Getein query taken back is acknowledged in its own form.

    Raises:
        MessageError: A field of the query repeats too often.
    """
    form = inquiry.query.form
    if form == "cancel" or (inquiry.query.asked.is_cancelled and form != "display"):
        return None
    return _BY_FORM[form](inquiry)
