"""Vendors' LIVD files as they are sent in, and what became of them."""

from __future__ import annotations

from typing import Annotated

from pydantic import Base64Bytes, BaseModel, ConfigDict, Field, model_validator

from rules.livd import MAX_CHARS, LivdFile, parse_livd, parse_livd_workbook
from rules.workbook import MAX_BYTES


class ImportIn(BaseModel):
    """A vendor's LIVD file: CSV text with its header row, a FHIR bundle as JSON text, or a workbook.

    Attributes:
        workbook: The bytes of an XLSX file in Base64, instead of `content`.
    """

    model_config = ConfigDict(extra="forbid")

    content: Annotated[str, Field(max_length=MAX_CHARS)] = ""
    workbook: Annotated[Base64Bytes, Field(max_length=MAX_BYTES)] = b""

    @model_validator(mode="after")
    def _one_file(self) -> ImportIn:
        if bool(self.content) == bool(self.workbook):
            raise ValueError("give either content or workbook")
        return self

    def read(self) -> LivdFile:
        """Return the file's rows.

        Raises:
            MessageError: There are none, or a bound is exceeded.
        """
        return parse_livd_workbook(self.workbook) if self.workbook else parse_livd(self.content)


class ImportOut(BaseModel):
    """What became of a vendor's file.

    Attributes:
        proposed: Mappings now waiting for confirmation, as `code → test`.
        known: Rows whose mapping existed.
        not_offered: LOINC codes that no test of the catalogue has.
        contradictory: Codes left out because the file gives them a unit that their LOINC property cannot have.
        unusable: The first rows left out because they have no test code or no LOINC code with a right check digit.
        unusable_count: How many there are.
    """

    rows: int
    proposed: list[str]
    known: int
    not_offered: list[str]
    contradictory: list[str] = []
    unusable: list[str] = []
    unusable_count: int = 0
