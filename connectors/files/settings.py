"""Settings of the object storage connection."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, SecretStr


class FilesSettings(BaseModel):
    """Where documents are kept: an S3 endpoint and one bucket.

    Attributes:
        endpoint: `host:port` without a scheme.
        public_endpoint: `host:port` that browsers reach it by, for signed links; empty when it is the same.
        connect_timeout_s: Time to reach the endpoint, in seconds.
        read_timeout_s: Time without a byte after which a call is given up, in seconds.
        max_object_bytes: Larger objects are neither put nor read.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    endpoint: str = ""
    public_endpoint: str = ""
    access_key: str = ""
    secret_key: SecretStr = SecretStr("")
    bucket: str = "labsetu-documents"
    secure: bool = True
    region: str = "ap-south-1"
    connect_timeout_s: Annotated[float, Field(gt=0, le=60)] = 5.0
    read_timeout_s: Annotated[float, Field(gt=0, le=300)] = 30.0
    max_object_bytes: Annotated[int, Field(gt=0, le=1 << 30)] = 50 * 1024 * 1024
