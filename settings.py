"""All settings of a process: environment variables `LABSETU_…`, secret files, `.env`, and what the dev stack wrote.

A name follows the section: `api.port` is `LABSETU_API__PORT` (two underscores), or a file `labsetu_api__port` in
`LABSETU_SECRETS_DIR`. Later sources lose: constructor, environment, secret files, `.env`, then in development
`<home>/stack.env` (addresses) and `<home>/secrets.env` (random secrets), both written by the dev stack.
"""

from __future__ import annotations

import base64
import binascii
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError, field_validator, model_validator
from pydantic_settings import (
    BaseSettings,
    NestedSecretsSettingsSource,
    NoDecode,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
)

from connectors.abdm.settings import AbdmSettings
from connectors.einvoice.settings import EInvoiceSettings
from connectors.email.settings import EmailSettings
from connectors.files.settings import FilesSettings
from connectors.razorpay.settings import RazorpaySettings
from connectors.sms.settings import SmsSettings
from connectors.whatsapp.settings import WhatsAppSettings
from domain.policies import LabPolicies
from domain.working_hours import WorkingHours

PREFIX = "LABSETU_"
MIN_SECRET_BYTES = 32
_WEAK = ("changeme", "secret", "password", "example", "labsetu", "default")

Port = Annotated[int, Field(ge=1, le=65535)]


class SettingsError(Exception):
    """The process must not start with these settings; the text names each variable and what is wrong with it."""


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class LabSettings(_Section):
    """The laboratory.

    Attributes:
        code: Short code, part of every workflow id; never changed once orders exist.
        name: As printed on reports.
    """

    code: Annotated[str, Field(pattern=r"^[A-Z0-9]{2,12}$")] = "LAB1"
    name: Annotated[str, Field(min_length=1, max_length=200)] = "LabSetu Diagnostics"


class DatabaseSettings(_Section):
    """PostgreSQL.

    Attributes:
        url: SQLAlchemy URL of the role `labsetu_app`, `postgresql+asyncpg://…`.
        owner_url: The same for `labsetu_owner`, which runs migrations; only `labsetu migrate` needs it.
        seal_key: Base64 of 32 random bytes; seals the few partner tokens that are kept in rows.
        pool_size: Connections kept open per process; as many again are opened under load.
        command_timeout_s: Longest wait for one statement, in seconds.
    """

    url: SecretStr = SecretStr("")
    owner_url: SecretStr = SecretStr("")
    seal_key: SecretStr = SecretStr("")
    pool_size: Annotated[int, Field(ge=1, le=100)] = 8
    command_timeout_s: Annotated[float, Field(gt=0, le=300)] = 5.0

    def decoded_seal_key(self) -> bytes:
        """Return the key as bytes.

        Raises:
            ValueError: It is not base64 of 32 bytes.
        """
        return _key32(self.seal_key.get_secret_value(), "make one: openssl rand -base64 32")


class TemporalSettings(_Section):
    """The Temporal cluster.

    Attributes:
        address: `host:port` of the gRPC frontend.
        ui_url: Where operators open the web UI; it may ask our codec endpoint to decode payloads.
        codec_keys: Key id to base64 of 32 random bytes; old ids stay to read old histories.
        codec_active_key: The id that new payloads are encrypted with.
        tls: Connect by TLS.
        api_key: Bearer token, or empty.
    """

    address: str = "127.0.0.1:7233"
    namespace: str = "labsetu"
    ui_url: str = "http://127.0.0.1:8233"
    codec_keys: dict[str, SecretStr] = Field(default_factory=dict)
    codec_active_key: str = ""
    tls: bool = False
    api_key: SecretStr = SecretStr("")

    def decoded_codec_keys(self) -> dict[str, bytes]:
        """Return the keys as bytes.

        Raises:
            ValueError: One is not base64 of 32 bytes.
        """
        how = "make one: labsetu codec-key new"
        return {name: _key32(text.get_secret_value(), how) for name, text in self.codec_keys.items()}


class ApiSettings(_Section):
    """The HTTP edge.

    Attributes:
        public_url: What patients' links and partners' callbacks start with.
        jwt_secrets: The first signs, all verify; comma-separated in the environment.
        access_minutes: Lifetime of an access token.
        refresh_days: Lifetime of a refresh token.
        body_limit_bytes: Longest accepted request body.
        metrics_token: Bearer token that /metrics asks for; empty leaves it open.
        docs: Serve /docs and /openapi.json.
    """

    host: str = "127.0.0.1"
    port: Port = 8080
    public_url: str = "http://127.0.0.1:8080"
    jwt_secrets: Annotated[tuple[SecretStr, ...], NoDecode] = ()
    access_minutes: Annotated[int, Field(ge=1, le=120)] = 15
    refresh_days: Annotated[int, Field(ge=1, le=90)] = 14
    body_limit_bytes: Annotated[int, Field(ge=1024, le=64 * 1024 * 1024)] = 1024 * 1024
    metrics_token: SecretStr = SecretStr("")
    docs: bool = True

    @field_validator("jwt_secrets", mode="before")
    @classmethod
    def _split(cls, value: object) -> object:
        return tuple(part.strip() for part in value.split(",") if part.strip()) if isinstance(value, str) else value


class InstrumentSettings(_Section):
    """The lines to analyzers.

    Attributes:
        host: Address that the shared ports and the devices' own ports are bound to.
        max_message_bytes: Longest message; a longer one is refused with the protocol's own error.
        max_connections: In all.
        max_connections_per_address: From one IP address.
        message_timeout_s: Time from the first byte of a message to its last; HL7 adds what a slow line needs, ASTM has
            the standard's own times.
        reload_s: How often the list of analyzers is read again; their lines are started and stopped to fit.
        folder_roots: Folders under which watched folders may be; comma-separated in the environment.
        serial_roots: Folders under which serial ports may be; comma-separated in the environment.
        tls_certificate: PEM file with our certificate and its chain, for encrypted lines.
        tls_key: PEM file with its key.
        tls_client_ca: Devices that connect by TLS must show a certificate of this CA; empty asks for none.
        tls_server_ca: Devices that we connect to by TLS must show a certificate of this CA; empty is the system's list.
        work_needs_receipt: Devices are given work only on tubes that have been received, not on collected ones.
        work_skips_resulted: Devices are not given tests that have a result of another device or a typed one.
    """

    host: str = "127.0.0.1"
    hl7_port: Port = 6661
    astm_port: Port = 6662
    max_message_bytes: Annotated[int, Field(ge=4096, le=64 * 1024 * 1024)] = 1024 * 1024
    max_connections: Annotated[int, Field(ge=1, le=4096)] = 128
    max_connections_per_address: Annotated[int, Field(ge=1, le=4096)] = 8
    message_timeout_s: Annotated[float, Field(gt=0)] = 60.0
    reload_s: Annotated[float, Field(ge=0.05, le=300)] = 5.0
    folder_roots: Annotated[tuple[Path, ...], NoDecode] = ()
    serial_roots: Annotated[tuple[Path, ...], NoDecode] = (Path("/dev"),)
    tls_certificate: Path | None = None
    tls_key: Path | None = None
    tls_client_ca: Path | None = None
    tls_server_ca: Path | None = None
    work_needs_receipt: bool = False
    work_skips_resulted: bool = False

    @field_validator("folder_roots", "serial_roots", mode="before")
    @classmethod
    def _split(cls, value: object) -> object:
        return tuple(part.strip() for part in value.split(",") if part.strip()) if isinstance(value, str) else value

    @field_validator("folder_roots", "serial_roots")
    @classmethod
    def _absolute(cls, roots: tuple[Path, ...]) -> tuple[Path, ...]:
        if not all(root.is_absolute() for root in roots):
            raise ValueError("every folder must be an absolute path")
        return roots

    @field_validator("tls_certificate", "tls_key", "tls_client_ca", "tls_server_ca", mode="before")
    @classmethod
    def _none(cls, value: object) -> object:
        return value or None


class WatchSettings(_Section):
    """Watching analyzers, and what becomes of their messages.

    Attributes:
        working_hours: When silence of an analyzer counts, in India's time, e.g. `mon-sat 08:00-20:00, sun 09:00-13:00`.
        message_days: Messages older than this many days are deleted once they are read and closed; 0 keeps all.
        recording_days: Recordings of lines that ended more than this many days ago are deleted.
        replay_targets: `host:port` of test devices to which stored messages may be sent; comma-separated.
    """

    working_hours: str = "mon-sun 08:00-20:00"
    message_days: Annotated[int, Field(ge=0, le=36_500)] = 0
    recording_days: Annotated[int, Field(ge=1, le=365)] = 14
    replay_targets: Annotated[tuple[str, ...], NoDecode] = ()

    @field_validator("replay_targets", mode="before")
    @classmethod
    def _split(cls, value: object) -> object:
        return tuple(part.strip() for part in value.split(",") if part.strip()) if isinstance(value, str) else value

    @field_validator("working_hours")
    @classmethod
    def _readable(cls, value: str) -> str:
        WorkingHours.parse(value)
        return value


class TelemetrySettings(_Section):
    """Logs, metrics and traces.

    Attributes:
        log_level: One of the standard library's names.
        otlp_endpoint: OTLP/HTTP collector, e.g. `http://jaeger:4318`; empty switches tracing off.
        worker_metrics_port: Where the worker serves /metrics; 0 switches it off.
        listener_metrics_port: Where the listener serves /metrics; 0 switches it off.
        metrics_host: Address that /metrics of worker and listener is bound to.
    """

    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"
    otlp_endpoint: str = ""
    metrics_host: str = "127.0.0.1"
    worker_metrics_port: Annotated[int, Field(ge=0, le=65535)] = 9464
    listener_metrics_port: Annotated[int, Field(ge=0, le=65535)] = 9465


class AuditSettings(_Section):
    """The audit chain.

    Attributes:
        key: Key of the HMAC that chains the rows.
    """

    key: SecretStr = SecretStr("")


class Settings(BaseSettings):
    """Everything a process is told from outside.

    Attributes:
        home: Where the dev stack keeps data, logs and generated secrets.
        environment: `production` refuses missing, short and well-known secrets.
        policies: Waiting times of the workflows (`domain/policies.py`).
        payments: Razorpay; a partner whose section is absent is not used, and its steps are answered by staff.
        einvoice: The GST e-invoice portal.
        abdm: The health-data network.
    """

    model_config = SettingsConfigDict(
        env_prefix=PREFIX, env_nested_delimiter="__", extra="ignore", frozen=True, hide_input_in_errors=True,
        env_file_encoding="utf-8",
    )  # fmt: skip

    home: Path = Path(".labsetu")
    environment: Literal["development", "production"] = "development"
    lab: LabSettings = LabSettings()
    policies: LabPolicies = LabPolicies()
    database: DatabaseSettings = DatabaseSettings()
    temporal: TemporalSettings = TemporalSettings()
    objects: FilesSettings = FilesSettings()
    api: ApiSettings = ApiSettings()
    instruments: InstrumentSettings = InstrumentSettings()
    watch: WatchSettings = WatchSettings()
    telemetry: TelemetrySettings = TelemetrySettings()
    audit: AuditSettings = AuditSettings()
    payments: RazorpaySettings | None = None
    einvoice: EInvoiceSettings | None = None
    whatsapp: WhatsAppSettings | None = None
    sms: SmsSettings | None = None
    email: EmailSettings | None = None
    abdm: AbdmSettings | None = None

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],  # noqa: ARG003  pydantic-settings passes it by name
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Order the sources as the module says."""
        sources = [init_settings, env_settings]
        if directory := os.environ.get(f"{PREFIX}SECRETS_DIR"):
            files = NestedSecretsSettingsSource(
                file_secret_settings, secrets_dir=directory, secrets_prefix=PREFIX, secrets_nested_delimiter="__"
            )
            sources.append(files)
        sources.append(dotenv_settings)
        return tuple(sources)

    @model_validator(mode="after")
    def _production_is_safe(self) -> Self:
        if self.environment == "production" and (found := list(problems(self))):
            raise ValueError("; ".join(found))
        return self


def variable(*path: str) -> str:
    """Return the environment variable of a setting: `variable("api", "port")` is `LABSETU_API__PORT`."""
    return PREFIX + "__".join(part.upper() for part in path)


def problems(settings: Settings) -> Iterator[str]:
    """Yield what makes these settings unfit for production, each naming its variable."""
    required = {
        ("database", "url"): settings.database.url.get_secret_value(),
        ("temporal", "address"): settings.temporal.address,
        ("objects", "endpoint"): settings.objects.endpoint,
        ("objects", "access_key"): settings.objects.access_key,
    }
    yield from (f"{variable(*path)} is not set" for path, value in required.items() if not value)
    yield from _secret_problems(variable("objects", "secret_key"), settings.objects.secret_key, least=16)
    yield from _secret_problems(variable("audit", "key"), settings.audit.key)
    if not settings.api.jwt_secrets:
        yield f"{variable('api', 'jwt_secrets')} is not set"
    for secret in settings.api.jwt_secrets:
        yield from _secret_problems(variable("api", "jwt_secrets"), secret)
    yield from _key_problems(settings)
    if settings.environment == "production":
        yield from _exposure_problems(settings)


def _exposure_problems(settings: Settings) -> Iterator[str]:
    if not settings.api.public_url.startswith("https://"):
        yield f"{variable('api', 'public_url')} must be an https:// address: patients' links start with it"
    yield from _secret_problems(variable("api", "metrics_token"), settings.api.metrics_token)
    if settings.api.docs:
        yield f"{variable('api', 'docs')} must be false"
    for name in ("payments", "einvoice", "whatsapp", "sms", "abdm"):
        section = getattr(settings, name)
        if section is not None and not section.base_url.startswith("https://"):
            yield f"{variable(name, 'base_url')} must be an https:// address"
    if settings.abdm is not None and settings.abdm.allowed_push_hosts:
        yield f"{variable('abdm', 'allowed_push_hosts')} must be empty: records would go out in the clear"


def _secret_problems(name: str, secret: SecretStr, least: int = MIN_SECRET_BYTES) -> Iterator[str]:
    value = secret.get_secret_value()
    if not value:
        yield f"{name} is not set"
    elif len(value.encode()) < least:
        yield f"{name} is shorter than {least} bytes (make one: openssl rand -hex 32)"
    elif len(set(value)) < 8 or any(word in value.lower() for word in _WEAK):  # noqa: PLR2004
        yield f"{name} looks like a placeholder (make one: openssl rand -hex 32)"


def _key_problems(settings: Settings) -> Iterator[str]:
    name = variable("database", "seal_key")
    if not settings.database.seal_key.get_secret_value():
        yield f"{name} is not set (make one: openssl rand -base64 32)"
    else:
        yield from _refusal(name, settings.database.decoded_seal_key)
    name = variable("temporal", "codec_keys")
    if not settings.temporal.codec_keys:
        yield f"{name} is not set (make one: labsetu codec-key new)"
        return
    yield from _refusal(name, settings.temporal.decoded_codec_keys)
    if settings.temporal.codec_active_key not in settings.temporal.codec_keys:
        yield f"{variable('temporal', 'codec_active_key')} is not one of the ids in {name}"


def _refusal(name: str, decode: Callable[[], object]) -> Iterator[str]:
    try:
        decode()
    except ValueError as error:
        yield f"{name}: {error}"


def _key32(text: str, how: str) -> bytes:
    try:
        key = base64.b64decode(text, validate=True)
    except binascii.Error:
        key = b""
    if len(key) != 32:  # noqa: PLR2004  AES-256
        raise ValueError(f"not base64 of 32 bytes ({how})")
    return key


def load_settings() -> Settings:
    """Read the settings of this process from every source.

    Raises:
        SettingsError: Something is missing or wrong; the text says which variable and what to do.
    """
    try:
        told = _Whereabouts()
        files: tuple[Path, ...] = (Path(".env"),)
        if told.environment == "development":
            files = (told.home / "secrets.env", told.home / "stack.env", *files)
        settings = Settings(_env_file=files)
    except ValidationError as error:
        raise SettingsError(_readable(error)) from None
    if settings.environment == "development" and (found := list(problems(settings))):
        raise SettingsError("\n".join([*found, "In development, `labsetu stack` (or `make dev`) makes all of them."]))
    return settings


class _Whereabouts(BaseSettings):
    """The two settings that say where the others are."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, env_file=".env", extra="ignore", hide_input_in_errors=True)

    home: Path = Path(".labsetu")
    environment: Literal["development", "production"] = "development"


def _readable(error: ValidationError) -> str:
    lines = []
    for item in error.errors(include_url=False, include_input=False, include_context=False):
        name = variable(*(str(part) for part in item["loc"])) if item["loc"] else ""
        text = item["msg"].removeprefix("Value error, ")
        lines += [f"{name}: {text}"] if name else text.split("; ")
    return "\n".join(lines)
