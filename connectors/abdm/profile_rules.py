"""The rules of the national profiles that a general FHIR model does not check: a few dozen, as tables.

They are the gaps found by seeding faults into valid bundles: codes of required lists, fixed code systems, closed
slices, references that lead nowhere. Findings name places in the bundle, never what stands there.
Source: NRCeS FHIR IG ndhm.in 6.5.0, snapshots of the profiles named below; FHIR 4.0.1 required value sets.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

Json = Mapping[str, Any]

SNOMED = "http://snomed.info/sct"
LOINC = "http://loinc.org"
MAX_DEPTH = 40

_STATUSES = {
    "Composition": "preliminary final amended entered-in-error",
    "DiagnosticReport": "registered partial preliminary final amended corrected appended cancelled entered-in-error "
    "unknown",
    "Observation": "registered preliminary final amended corrected cancelled entered-in-error unknown",
    "Specimen": "available unavailable unsatisfactory entered-in-error",
    "DocumentReference": "current superseded entered-in-error",
    "ServiceRequest": "draft active on-hold revoked completed entered-in-error unknown",
}
_STATUS_OPTIONAL = frozenset({"Specimen"})
_GENDERS = frozenset({"male", "female", "other", "unknown"})

_REQUIRED: Mapping[str, tuple[str, ...]] = {
    "Composition": ("subject.reference", "date", "author", "title", "section", "type.coding"),
    "DiagnosticReport": ("code", "resultsInterpreter", "result", "conclusion"),
    "Observation": ("code",),
    "Specimen": ("receivedTime",),
    "Patient": ("identifier",),
    "Practitioner": ("identifier", "name"),
    "Organization": ("identifier", "name"),
    "ServiceRequest": ("intent", "subject", "requester"),
    "DocumentReference": ("content",),
}
_CODE_SYSTEMS: Mapping[str, Mapping[str, tuple[str, ...]]] = {
    "Composition": {"type": (SNOMED,)},
    "DiagnosticReport": {"code": (LOINC,), "category": (SNOMED,), "conclusionCode": (SNOMED,)},
    "Observation": {"code": (LOINC, SNOMED)},
    "Specimen": {"type": (SNOMED,)},
    "DocumentReference": {"type": (SNOMED,)},
}
_PDF = "JVBERi0"
"""Base64 of `%PDF-` and the first bits of the version's digit."""
_SECTION_TYPES = frozenset({"DiagnosticReport", "DocumentReference"})


def problems_of(bundle: Json) -> list[str]:
    """Return what breaks the profile DiagnosticReportRecord, as places; empty when nothing does."""
    found = list(_document(bundle))
    entries = [item for item in _items(bundle.get("entry")) if isinstance(item.get("resource"), Mapping)]
    if not entries:
        return [*found, "entry"]
    addresses = {item.get("fullUrl") for item in entries}
    for number, item in enumerate(entries):
        resource = item["resource"]
        place = f"entry[{number}].{resource.get('resourceType')}"
        if not str(item.get("fullUrl", "")).startswith("urn:uuid:"):
            found.append(f"{place}.fullUrl")
        found += [f"{place}.{where}" for where in _resource(resource)]
        found += [f"{place}.{where}" for where in _dangling(resource, addresses)]
    if entries[0]["resource"].get("resourceType") != "Composition":
        found.append("entry[0] is not the Composition")
    return found


def _items(value: object) -> list[Json]:
    """Return the objects of a list, or of a single object; anything else is empty."""
    candidates = value if isinstance(value, list) else [value]
    return [item for item in candidates if isinstance(item, Mapping)]


def _at(resource: Json, path: str) -> object:
    value: object = resource
    for step in path.split("."):
        value = value.get(step) if isinstance(value, Mapping) else None
    return value


def _document(bundle: Json) -> Iterator[str]:
    if bundle.get("resourceType") != "Bundle":
        yield "resourceType"
    if bundle.get("type") != "document":
        yield "type"
    for path in ("meta.versionId", "identifier.system", "identifier.value", "timestamp"):
        if not _at(bundle, path):
            yield path


def _resource(resource: Json) -> Iterator[str]:
    kind = str(resource.get("resourceType"))
    for path in _REQUIRED.get(kind, ()):
        if not _at(resource, path):
            yield path
    if kind in _STATUSES:
        status = resource.get("status")
        if status not in _STATUSES[kind].split() and not (status is None and kind in _STATUS_OPTIONAL):
            yield "status"
    for path, systems in _CODE_SYSTEMS.get(kind, {}).items():
        yield from _codings(resource.get(path), path, systems)
    if kind == "Composition":
        yield from _composition(resource)
    elif kind in {"Patient", "Practitioner", "Organization"}:
        yield from _named(resource, kind)
    else:
        yield from _details(resource, kind)


def _codings(concepts: object, path: str, systems: tuple[str, ...]) -> Iterator[str]:
    for concept in _items(concepts):
        for coding in _items(concept.get("coding")):
            if coding.get("system") not in systems or not coding.get("code") or not coding.get("display"):
                yield f"{path}.coding"


def _composition(composition: Json) -> Iterator[str]:
    if len(_items(_at(composition, "type.coding"))) != 1:
        yield "type.coding is not exactly one"
    if not all(author.get("reference") for author in _items(composition.get("author"))):
        yield "author.reference"
    sections = _items(composition.get("section"))
    if len(sections) != 1:
        yield "section is not exactly one"
    for section in sections:
        yield from _codings(section.get("code"), "section.code", (SNOMED,))
        kinds = [item.get("type") for item in _items(section.get("entry"))]
        if not kinds or not set(kinds) <= _SECTION_TYPES or len(kinds) != len(set(kinds)):
            yield "section.entry.type"


def _named(resource: Json, kind: str) -> Iterator[str]:
    for identifier in _items(resource.get("identifier")):
        types = _items(_at(identifier, "type.coding"))
        if not isinstance(identifier.get("type"), Mapping) or not identifier.get("value"):
            yield "identifier"
        if not all(coding.get("system") and coding.get("code") and coding.get("display") for coding in types):
            yield "identifier.type.coding"
        if kind == "Organization" and not identifier.get("system"):
            yield "identifier.system"
    if kind != "Organization" and not all(name.get("text") for name in _items(resource.get("name"))):
        yield "name.text"
    if kind == "Patient" and resource.get("gender") not in {None, *_GENDERS}:
        yield "gender"


def _details(resource: Json, kind: str) -> Iterator[str]:
    if kind == "Specimen" and "collection" in resource and not _at(resource, "collection.collectedDateTime"):
        yield "collection.collectedDateTime"
    if kind == "DiagnosticReport":
        yield from _attachments(_items(resource.get("presentedForm")), "presentedForm")
    if kind == "DocumentReference":
        contents = [_at(content, "attachment") for content in _items(resource.get("content"))]
        yield from _attachments(_items(contents), "content.attachment")
        if len(_items(contents)) != len(contents):
            yield "content.attachment"


def _attachments(attachments: list[Json], path: str) -> Iterator[str]:
    for attachment in attachments:
        data = attachment.get("data")
        if not attachment.get("contentType") or not isinstance(data, str) or not data:
            yield path
        elif attachment["contentType"] == "application/pdf" and not data.startswith(_PDF):
            yield f"{path}.data"


def _dangling(value: object, addresses: set[Any], depth: int = MAX_DEPTH) -> Iterator[str]:
    """Yield every reference that leads to no resource of the bundle."""
    if depth == 0:
        yield "nested too deeply"
        return
    if isinstance(value, Mapping):
        target = value.get("reference")
        if isinstance(target, str) and not target.startswith("#") and target not in addresses:
            yield "reference"
        for item in value.values():
            yield from _dangling(item, addresses, depth - 1)
    elif isinstance(value, list):
        for item in value:
            yield from _dangling(item, addresses, depth - 1)
