"""A device's profile and mappings as a document that people carry from one device or branch to another.

YAML or JSON, the same members. It holds no address and no secret: where a device stands is a matter of its site.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Annotated, Any, Final

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from api.errors import BadRequestError
from domain.device_profile import DeviceProfile
from store.profiles import MappingRow

KIND: Final = "labsetu.device"
MAX_BYTES: Final = 131_072
_PLACE: Final = frozenset({"host", "device", "path", "work_line"})
"""Members of a transport that name a machine of one site."""


class MappingLine(BaseModel):
    """What a code of the device means: the laboratory's test code."""

    model_config = ConfigDict(extra="forbid")

    device_code: Annotated[str, Field(min_length=1, max_length=60)]
    test: Annotated[str, Field(min_length=1, max_length=40)]
    unit: Annotated[str, Field(max_length=40)] = ""
    factor: Annotated[str, Field(max_length=30, pattern=r"^(?:\d{1,12}(?:\.\d{1,12})?)?$")] = ""


class DeviceDocument(BaseModel):
    """One device, without what is of its site."""

    model_config = ConfigDict(extra="forbid")

    kind: Annotated[str, Field(pattern=r"^labsetu\.device$")] = KIND
    model: Annotated[str, Field(max_length=40)] = ""
    transport: dict[str, str | int | float | bool] = {}
    profile: DeviceProfile
    mappings: Annotated[list[MappingLine], Field(max_length=2000)] = []


def document_of(
    model: str, transport: dict[str, Any], profile: DeviceProfile, mappings: Sequence[MappingRow]
) -> DeviceDocument:
    """Return the document of a device."""
    lines = [
        MappingLine(
            device_code=row.device_code, test=row.test_code, unit=row.unit,
            factor="" if row.factor is None else f"{row.factor:f}",
        )
        for row in mappings
    ]  # fmt: skip
    kept = {name: value for name, value in transport.items() if name not in _PLACE}
    return DeviceDocument(model=model, transport=kept, profile=profile, mappings=lines)


def written(document: DeviceDocument, *, as_yaml: bool) -> str:
    """Write a document."""
    content = document.model_dump(mode="json")
    if as_yaml:
        return yaml.safe_dump(content, sort_keys=False, allow_unicode=True)
    return json.dumps(content, indent=2, ensure_ascii=False)


def read_document(text: str) -> DeviceDocument:
    """Read a document from YAML or JSON (which is YAML).

    Raises:
        BadRequestError: It is none; the message names the place, not the value.
    """
    try:
        return DeviceDocument.model_validate(_loaded(text))
    except ValidationError as error:
        raise _invalid(error) from None


def read_profile(given: dict[str, Any] | str) -> DeviceProfile:
    """Read a profile alone, as members or as YAML or JSON text.

    Raises:
        BadRequestError: It is none; the message names the place, not the value.
    """
    try:
        return DeviceProfile.model_validate(_loaded(given) if isinstance(given, str) else given)
    except ValidationError as error:
        raise _invalid(error) from None


def _loaded(text: str) -> object:
    if len(text.encode(errors="replace")) > MAX_BYTES:
        raise BadRequestError(f"the document is longer than {MAX_BYTES} bytes", code="DEVICE_DOCUMENT_INVALID")
    try:
        # an alias could make a short text stand for an endless one
        if any(isinstance(event, yaml.AliasEvent) for event in yaml.parse(text, Loader=yaml.SafeLoader)):
            raise BadRequestError("the document uses YAML aliases", code="DEVICE_DOCUMENT_INVALID")
        return yaml.safe_load(text)
    except (yaml.YAMLError, ValueError, RecursionError):
        raise BadRequestError(
            "the document is neither YAML nor JSON", code="DEVICE_DOCUMENT_INVALID",
            action="Export a device and compare; indentation counts in YAML.",
        ) from None  # fmt: skip


def _invalid(error: ValidationError) -> BadRequestError:
    places = [
        f"{'.'.join(str(part) for part in finding['loc']) or 'document'}: {finding['type']}"
        for finding in error.errors(include_input=False, include_url=False)[:10]
    ]
    return BadRequestError(
        f"wrong or missing: {'; '.join(places)}"[:800], code="DEVICE_DOCUMENT_INVALID",
        action="Correct the members named; the fields of a profile are on the pages of the protocols.",
    )  # fmt: skip
