"""Settings of the object storage connection."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field, SecretStr


class FilesSettings(BaseModel):
    """Where documents are kept: an S3 endpoint and one bucket."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    endpoint: str = Field(default="", title="Endpoint", description="`host:port` without a scheme.")
    public_endpoint: str = Field(
        default="",
        title="Public endpoint",
        description="`host:port` that browsers reach it by, for signed links; empty when it is the same.",
    )
    access_key: str = Field(default="", title="Access key", description="Of a user that may use this bucket only.")
    secret_key: SecretStr = Field(default=SecretStr(""), title="Secret key", description="Of the access key.")
    bucket: str = Field(default="labsetu-documents", title="Bucket", description="Holds every document, versioned.")
    secure: bool = Field(default=True, title="TLS", description="Off only for a server on the same host.")
    region: str = Field(default="ap-south-1", title="Region", description="Part of every signature.")
    connect_timeout_s: float = Field(
        default=5.0, gt=0, le=60, title="Time to connect", description="Seconds to reach the endpoint."
    )
    read_timeout_s: float = Field(
        default=30.0, gt=0, le=300, title="Time limit", description="Seconds without a byte after which a call ends."
    )
    max_object_bytes: int = Field(
        default=50 * 1024 * 1024,
        gt=0,
        le=1 << 30,
        title="Largest document",
        description="Bytes; larger objects are neither put nor read.",
    )
