"""What the HTTP edge is told: keys, limits and switches. `api/main.py` makes it from the process's settings."""

from __future__ import annotations

from datetime import timedelta

from pydantic import BaseModel, ConfigDict, Field, SecretStr


class ApiConfig(BaseModel):
    """Keys, limits and switches of the API process.

    Attributes:
        lab: The lab's code, part of workflow ids.
        public_url: How patients and partners reach this API; without a trailing slash.
        jwt_secrets: 32 bytes or more each (RFC 7518, 3.2); the first signs, all verify.
        refresh_life: Absolute: rotating a refresh token does not prolong its session.
        login_burst: Attempts one user name may make at once; then one in `login_every_s` seconds.
        address_burst: The same for one network (/24 or /64): a whole branch may share an address.
        instrument_body_limit_bytes: For messages of analyzers, which come in batches.
        read_deadline_s: Within this a whole request body must have come.
        staff_link_life: Of a pre-signed link to a report.
        metrics_token: When set, `/metrics` answers only to this bearer token.
        shared_ports: Ports of the shared listeners for analyzers.
        working_hours: When silence of an analyzer counts (`domain.working_hours`).
        message_days: Age in days from which closed instrument messages are deleted; 0 keeps all.
        recording_days: Age in days from which recordings of lines are deleted.
        replay_targets: `host:port` of test devices that stored messages may be sent to.
        temporal_ui_origin: The only origin that may call the codec endpoint from a browser.
        is_codec_open: Development only: the codec endpoint answers without a token.
    """

    model_config = ConfigDict(frozen=True)

    lab: str = "LAB1"
    public_url: str = "http://127.0.0.1:8080"
    jwt_secrets: tuple[SecretStr, ...] = Field(min_length=1)
    jwt_issuer: str = "labsetu"
    jwt_audience: str = "labsetu-api"
    access_life: timedelta = timedelta(minutes=15)
    refresh_life: timedelta = timedelta(hours=12)
    login_burst: int = Field(default=5, ge=1)
    login_every_s: float = Field(default=60, gt=0)
    address_burst: int = Field(default=30, ge=1)
    address_every_s: float = Field(default=5, gt=0)
    body_limit_bytes: int = Field(default=262_144, ge=1024)
    instrument_body_limit_bytes: int = Field(default=1_048_576, ge=1024)
    read_deadline_s: float = Field(default=20, gt=0)
    staff_link_life: timedelta = timedelta(minutes=5)
    metrics_token: SecretStr = SecretStr("")
    shared_ports: tuple[int, ...] = ()
    working_hours: str = "mon-sun 08:00-20:00"
    message_days: int = Field(default=0, ge=0)
    recording_days: int = Field(default=14, ge=1)
    replay_targets: tuple[str, ...] = ()
    temporal_ui_origin: str = ""
    is_codec_open: bool = False
    has_docs: bool = True
