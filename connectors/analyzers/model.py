"""What is known of an analyzer model before a device of it is connected: the shape of `models/<key>.yaml`."""

from __future__ import annotations

from typing import Annotated, Literal, TypeAlias

from pydantic import BaseModel, ConfigDict, Field, model_validator

from domain.device_profile import DeviceProfile
from domain.device_transport import Port

ShortText: TypeAlias = Annotated[str, Field(min_length=1, max_length=200)]
LongText: TypeAlias = Annotated[str, Field(min_length=1, max_length=1000)]


class _Shape(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class DeviceTest(_Shape):
    """One analyte of a model.

    Attributes:
        code: What the device calls it in a message.
        name: What it calls it for people.
        lab_code: The laboratory's test code it is proposed for.
        unit: The unit text the device sends for it.
    """

    code: ShortText
    name: ShortText
    lab_code: ShortText
    unit: ShortText


class Fact(_Shape):
    """Something the profile relies on, and the document outside this project that says so."""

    fact: LongText
    source: LongText


class SerialSettings(_Shape):
    """Usual settings of the serial port."""

    baud: Annotated[int, Field(ge=300, le=921_600)] = 9600
    bits: Literal[7, 8] = 8
    parity: Literal["none", "even", "odd"] = "none"
    stop_bits: Literal[1, 2] = 1


class LinkAdvice(_Shape):
    """How devices of the model are usually connected.

    Attributes:
        connects: Who opens the TCP connection: `device` to us, `labsetu` to it, `either` by its setting.
        port: TCP port the device proposes, if known.
        serial: Settings of its serial port, if it has one.
        source: Where that is from.
    """

    connects: Literal["device", "labsetu", "either", "unknown"]
    port: Port | None = None
    serial: SerialSettings | None = None
    source: LongText


class DeviceModel(_Shape):
    """An analyzer model.

    Attributes:
        key: Stable name, e.g. `mindray_bc`; also the name of its file.
        title: For people.
        version: Of this profile, counted up whenever it changes.
        sources: What the profile relies on.
        notes: For the person who connects a device; also what is not known.
        transport: How devices are usually connected.
        profile: How its devices speak, as far as it does not depend on their settings.
        tests: Proposed mapping; empty where codes are set by the site and no table can be right.
    """

    key: Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{1,39}$")]
    title: ShortText
    manufacturer: ShortText
    version: Annotated[int, Field(ge=1, le=9999)]
    sources: Annotated[tuple[Fact, ...], Field(min_length=1)]
    notes: tuple[LongText, ...] = ()
    transport: LinkAdvice
    profile: DeviceProfile
    tests: tuple[DeviceTest, ...] = ()

    @model_validator(mode="after")
    def _codes_are_different(self) -> DeviceModel:
        codes = [test.code for test in self.tests]
        if len(codes) != len(set(codes)):
            raise ValueError("two tests have the same code")
        return self

    def lab_code_of(self, code: str) -> str:
        """Return the proposed laboratory code for a device code, or ""."""
        return next((test.lab_code for test in self.tests if test.code == code), "")
