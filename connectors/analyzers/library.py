"""Reads the files of known analyzer models, each when it is first asked for.

Every scalar is read as text and only then given its type, so that codes such as NO, 1e3 or 0 stay codes. Files are
small and flat; what is not is refused: no references, no two entries of one name, no more than MAX_FILE_BYTES.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Mapping
from pathlib import Path
from typing import Final, TypeAlias

import yaml
from pydantic import ValidationError

from connectors.analyzers.model import DeviceModel
from domain.errors import RuleError

MAX_FILE_BYTES: Final = 64 << 10
MAX_DEPTH: Final = 12
_SHOWN_FAULTS: Final = 20

_Loader: Final = getattr(yaml, "CBaseLoader", yaml.BaseLoader)
"""Builds text, lists and mappings only; the compiled one is ten times as fast."""
_Value: TypeAlias = "str | list[_Value] | dict[Hashable, _Value]"


class ModelLibrary(Mapping[str, DeviceModel]):
    """The models of a folder by key; a file is read once."""

    def __init__(self, folder: Path) -> None:
        self._paths = {path.stem: path for path in sorted(folder.glob("*.yaml"))}
        self._read: dict[str, DeviceModel] = {}

    def __getitem__(self, key: str) -> DeviceModel:
        """Return the model `key`.

        Raises:
            KeyError: There is no such model.
            RuleError: Its file is wrong.
        """
        if key not in self._read:
            self._read[key] = load_model(self._paths[key])
        return self._read[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self._paths)

    def __len__(self) -> int:
        return len(self._paths)


def load_model(path: Path) -> DeviceModel:
    """Return the model in `path`, whose name is the model's key.

    Raises:
        RuleError: It cannot be read, or is no model; the message names every wrong place.
    """
    try:
        with path.open("rb") as file:
            content = file.read(MAX_FILE_BYTES + 1)
    except OSError as error:
        raise _invalid(path, type(error).__name__) from error
    if len(content) > MAX_FILE_BYTES:
        raise _invalid(path, f"more than {MAX_FILE_BYTES} bytes")
    try:
        model = DeviceModel.model_validate(_document(content))
    except (yaml.YAMLError, UnicodeDecodeError, _NotFlatError) as error:
        raise _invalid(path, str(error)[:300]) from error
    except ValidationError as error:
        faults = [f"{'.'.join(map(str, fault['loc']))}: {fault['msg']}" for fault in error.errors()]
        raise _invalid(path, "; ".join(faults[:_SHOWN_FAULTS])) from error
    if model.key != path.stem:
        raise _invalid(path, f"key is {model.key!r}, the name of the file says {path.stem!r}")
    return model


class _NotFlatError(ValueError):
    """The document uses what a model's file has no need of."""


def _document(content: bytes) -> _Value:
    depth = 0
    for event in yaml.parse(content, Loader=_Loader):
        if isinstance(event, yaml.AliasEvent):
            raise _NotFlatError("references (* and &) are not allowed")
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if depth > MAX_DEPTH:
            raise _NotFlatError(f"nested more than {MAX_DEPTH} deep")
    node = yaml.compose(content, Loader=_Loader)
    return _value(node) if node is not None else {}


def _value(node: yaml.Node) -> _Value:
    if isinstance(node, yaml.SequenceNode):
        return [_value(item) for item in node.value]
    if not isinstance(node, yaml.MappingNode):
        return str(node.value)
    found: dict[Hashable, _Value] = {}
    for key, item in node.value:
        name = str(key.value)
        if name in found:
            raise _NotFlatError(f"{name!r} stands there twice, line {key.start_mark.line + 1}")
        found[name] = _value(item)
    return found


def _invalid(path: Path, reason: str) -> RuleError:
    return RuleError(
        f"{path.name} is no analyzer model: {reason}",
        code="ANALYZER_MODEL_INVALID",
        action="Correct the places named; other models are not affected.",
    )
