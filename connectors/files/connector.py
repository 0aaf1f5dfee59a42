"""Documents in an S3 bucket. Plain blocking methods: call them from a thread, never on an event loop."""

from __future__ import annotations

import hashlib
import io
import logging
import re
import ssl
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta

from minio import Minio
from minio.commonconfig import ENABLED
from minio.error import MinioException, S3Error
from minio.versioningconfig import VersioningConfig
from urllib3 import BaseHTTPResponse, PoolManager, Retry, Timeout
from urllib3.exceptions import HTTPError

from connectors.files.errors import NAME, from_s3, from_transport
from connectors.files.settings import FilesSettings
from domain.errors import RejectedError, RequestError, UnavailableError

MAX_LINK_LIFETIME = timedelta(minutes=5)
"""Signed links are bearer secrets; the client library's own default would be seven days."""

CONTENT_TYPES = frozenset(
    {
        "application/pdf", "application/json", "application/fhir+json", "application/octet-stream", "text/plain",
        "image/png", "image/jpeg", "image/bmp",
    }
)  # fmt: skip
"""What may be stored: nothing that a browser would run."""

_CHUNK = 256 * 1024
_KEY = re.compile(r"[a-z0-9][a-z0-9/._-]{0,511}")
_FILENAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
_SHA256_HEADER = "x-amz-meta-sha256"
_logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class StoredObject:
    """Where a document is and what it was when it was put.

    Attributes:
        version_id: The store's own version.
        sha256: Hex digest of the bytes.
        size: Bytes.
    """

    bucket: str
    key: str
    version_id: str
    sha256: str
    size: int


def object_key(kind: str, id: str, version: int, sha256: str) -> str:  # noqa: A002  reads best at the call
    """Return the key of one version of a document: `reports/0192…/v3-9f86d081884c7d65`.

    It names the thing by its row id and content, never by anything of a patient.

    Raises:
        RequestError: The parts do not make a key.
    """
    key = f"{kind}/{id}/v{version}-{sha256[:16]}".lower()
    _check_key(key, "object_key")
    return key


class FilesConnector:
    """One bucket of an S3 store. Every operation is safe to repeat."""

    name = NAME

    def __init__(self, settings: FilesSettings) -> None:
        self._settings = settings
        self.host = settings.endpoint
        self._client = _client(settings, settings.endpoint)
        self._signer = _client(settings, settings.public_endpoint or settings.endpoint)

    def put(self, key: str, data: bytes, content_type: str) -> StoredObject:
        """Store `data` as a new version of `key`.

        Raises:
            RequestError: Key, type or size is not allowed; nothing was sent.
            UnavailableError: The store was not reached or gave no answer.
            AuthError: It refuses our credentials.
            RejectedError: It refuses the object.
        """
        _check_key(key, "put")
        if content_type not in CONTENT_TYPES:
            raise RequestError(f"content type {content_type!r} is not stored", connector=NAME, operation="put")
        if len(data) > self._settings.max_object_bytes:
            raise RequestError(f"{len(data)} bytes are too many", connector=NAME, operation="put")
        digest = hashlib.sha256(data).hexdigest()
        with _translated("put"):
            written = self._client.put_object(
                bucket_name=self._settings.bucket,
                object_name=key,
                data=io.BytesIO(data),
                length=len(data),
                content_type=content_type,
                metadata={"sha256": digest},
                part_size=max(len(data), 5 * 1024 * 1024),  # one request: a version is whole or absent
            )
        return StoredObject(self._settings.bucket, key, written.version_id or "", digest, len(data))

    def get(self, key: str, version_id: str = "", *, sha256: str = "") -> bytes:
        """Return the bytes of `key`, by default of its newest version.

        Args:
            key: As it was put.
            version_id: One version, or "" for the newest.
            sha256: The digest that is expected, hex; by default the one that was stored with the object.

        Raises:
            RejectedError: There is no such object (`partner_code` NoSuchKey or NoSuchVersion), it is too large
                (code DOCUMENT_TOO_LARGE), or not what was put (code DOCUMENT_ALTERED).
            UnavailableError: The store was not reached or broke off.
            AuthError: It refuses our credentials.
        """
        _check_key(key, "get")
        with _translated("get"):
            response = self._client.get_object(
                bucket_name=self._settings.bucket, object_name=key, version_id=version_id or None
            )
            try:
                data = self._read(response)
            finally:
                response.close()
                response.release_conn()
        expected = sha256 or response.headers.get(_SHA256_HEADER, "")
        if expected and hashlib.sha256(data).hexdigest() != expected.lower():
            raise RejectedError(
                f"the object {key} is not what was stored",
                code="DOCUMENT_ALTERED",
                action="Restore the object's earlier version or the backup; tell the operator.",
                connector=NAME,
                operation="get",
            )
        return data

    def presign_get(
        self, key: str, expires: timedelta = MAX_LINK_LIFETIME, filename: str = "document.pdf", version_id: str = ""
    ) -> str:
        """Return a link that downloads `key` as `filename` until it expires; no call is made.

        Args:
            key: As it was put.
            expires: 1 second to 5 minutes.
            filename: ASCII letters, digits, dot, dash and underscore.
            version_id: One version, or "" for the newest.

        Raises:
            RequestError: Lifetime, key or filename is not allowed.
        """
        _check_key(key, "presign_get")
        if not timedelta(seconds=1) <= expires <= MAX_LINK_LIFETIME:
            raise RequestError("a link lives 1 s to 5 min", connector=NAME, operation="presign_get")
        if not _FILENAME.fullmatch(filename):
            raise RequestError("not a plain file name", connector=NAME, operation="presign_get")
        url: str = self._signer.get_presigned_url(
            method="GET",
            bucket_name=self._settings.bucket,
            object_name=key,
            expires=expires,
            response_headers={"response-content-disposition": f'attachment; filename="{filename}"'},
            version_id=version_id or None,
        )
        _logger.info("signed link issued", extra={"connector": NAME, "object_key": key})
        return url

    def ensure_bucket(self) -> None:
        """Create the bucket if it is missing and switch versioning on.

        Raises:
            UnavailableError: The store was not reached or gave no answer.
            AuthError: It refuses our credentials.
        """
        bucket = self._settings.bucket
        with _translated("ensure_bucket"):
            if not self._client.bucket_exists(bucket_name=bucket):
                try:
                    self._client.make_bucket(bucket_name=bucket, location=self._settings.region)
                except S3Error as error:
                    # another process was quicker
                    if error.code not in ("BucketAlreadyOwnedByYou", "BucketAlreadyExists"):
                        raise
            if not self.is_versioned():
                self._client.set_bucket_versioning(bucket_name=bucket, config=VersioningConfig(ENABLED))

    def is_versioned(self) -> bool:
        """Tell whether the bucket keeps versions.

        Raises:
            RequestError: There is no such bucket.
            UnavailableError: The store was not reached or gave no answer.
            AuthError: It refuses our credentials.
        """
        with _translated("is_versioned"):
            found = self._client.get_bucket_versioning(bucket_name=self._settings.bucket)
        return bool(found.status == ENABLED)

    def _read(self, response: BaseHTTPResponse) -> bytes:
        data = bytearray()
        until = time.monotonic() + 4 * self._settings.read_timeout_s  # a store that drips must not hold a thread
        for chunk in response.stream(_CHUNK):
            data += chunk
            if len(data) > self._settings.max_object_bytes:
                raise RejectedError(
                    "the object is larger than allowed", code="DOCUMENT_TOO_LARGE", connector=NAME, operation="get"
                )
            if time.monotonic() > until:
                raise UnavailableError("the object store is too slow", connector=NAME, operation="get")
        return bytes(data)


def _client(settings: FilesSettings, endpoint: str) -> Minio:
    pool = PoolManager(
        timeout=Timeout(connect=settings.connect_timeout_s, read=settings.read_timeout_s),
        maxsize=10,
        retries=Retry(total=0, read=False, redirect=False),  # repeating is the workflow's decision
        ssl_context=ssl.create_default_context(),  # the system's authorities, or SSL_CERT_FILE
    )
    return Minio(
        endpoint=endpoint,
        access_key=settings.access_key,
        secret_key=settings.secret_key.get_secret_value(),
        secure=settings.secure,
        region=settings.region,  # otherwise the library asks the store before its first call
        http_client=pool,
    )


@contextmanager
def _translated(operation: str) -> Iterator[None]:
    try:
        yield
    except S3Error as error:
        raise from_s3(error, operation) from error
    except (HTTPError, MinioException, OSError) as error:
        raise from_transport(error, operation) from error


def _check_key(key: str, operation: str) -> None:
    if not _KEY.fullmatch(key) or "//" in key or "/.." in key or "/./" in key:
        raise RequestError("not an object key", code="OBJECT_KEY_INVALID", connector=NAME, operation=operation)
