"""The files connector against a real S3 server, and against a store that misbehaves on the wire."""

import hashlib
import io
import json
import logging
import socket
import threading
from collections.abc import Callable, Iterator
from datetime import timedelta

import httpx
import pytest
from minio import Minio
from minio.versioningconfig import SUSPENDED, VersioningConfig
from pydantic import SecretStr

from connectors.files.check import check_connection
from connectors.files.connector import FilesConnector, object_key
from connectors.files.settings import FilesSettings
from devstack.objectstore import ObjectStore
from domain.errors import AuthError, RateLimitedError, RejectedError, RequestError, UnavailableError
from telemetry.logs import JsonFormatter

KEY = "reports/0192d1a0-0000-7000-8000-000000000001/v1-2cf24dba5fb0a30e"
SECRET = "test-secret-key"


def settings_for(store: ObjectStore, **changes: object) -> FilesSettings:
    given = {
        "endpoint": store.endpoint, "access_key": store.access_key, "secret_key": SecretStr(store.secret_key),
        "bucket": "contract-files", "secure": False, "max_object_bytes": 12 * 1024 * 1024,
    }  # fmt: skip
    return FilesSettings.model_validate({**given, **changes})


@pytest.fixture(scope="module")
def files(object_store: ObjectStore) -> FilesConnector:
    connector = FilesConnector(settings_for(object_store))
    connector.ensure_bucket()
    connector.ensure_bucket()
    return connector


def test_every_version_stays_readable(files: FilesConnector):
    first = files.put(KEY, b"hello", "application/pdf")
    second = files.put(KEY, b"hello again", "application/pdf")

    assert first.version_id
    assert first.version_id != second.version_id
    assert (first.sha256, first.size) == (hashlib.sha256(b"hello").hexdigest(), 5)
    assert files.get(KEY, first.version_id, sha256=first.sha256) == b"hello"
    assert files.get(KEY) == b"hello again"


def test_an_object_above_the_part_size_is_one_whole_version(files: FilesConnector):
    data = bytes(range(256)) * 4096 * 11
    stored = files.put("exports/large", data, "application/octet-stream")
    assert files.get("exports/large", stored.version_id) == data


def test_a_changed_object_is_noticed(files: FilesConnector):
    stored = files.put("reports/x/v1", b"good", "application/pdf")
    with pytest.raises(RejectedError) as caught:
        files.get("reports/x/v1", stored.version_id, sha256=hashlib.sha256(b"bad").hexdigest())
    assert caught.value.code == "DOCUMENT_ALTERED"


def test_an_object_put_by_others_is_checked_against_the_expected_digest(
    files: FilesConnector, object_store: ObjectStore
):
    raw = Minio(endpoint=object_store.endpoint, access_key=object_store.access_key, secret_key=object_store.secret_key,
                secure=False)  # fmt: skip
    raw.put_object(bucket_name="contract-files", object_name="foreign/a", data=io.BytesIO(b"abc"), length=3)
    assert files.get("foreign/a", sha256=hashlib.sha256(b"abc").hexdigest().upper()) == b"abc"


@pytest.mark.parametrize(("key", "version", "code"), [("reports/none", "", "NoSuchKey")])
def test_a_missing_object_is_refused(files: FilesConnector, key: str, version: str, code: str):
    with pytest.raises(RejectedError) as caught:
        files.get(key, version)
    assert caught.value.partner_code == code
    assert caught.value.connector == "files"


def test_more_than_the_bound_is_neither_put_nor_read(files: FilesConnector, object_store: ObjectStore):
    small = FilesConnector(settings_for(object_store, max_object_bytes=4))
    files.put("reports/five", b"12345", "application/pdf")
    with pytest.raises(RequestError):
        small.put("reports/five", b"12345", "application/pdf")
    with pytest.raises(RejectedError, match="larger"):
        small.get("reports/five")


@pytest.mark.parametrize("content_type", ["text/html", "image/svg+xml", "application/javascript", ""])
def test_what_a_browser_would_run_is_not_stored(files: FilesConnector, content_type: str):
    with pytest.raises(RequestError):
        files.put(KEY, b"x", content_type)


@pytest.mark.parametrize("key", ["", "/a", "a//b", "a/../b", "a/./b", "A/b", "a b", "a\nb", "a" * 513, "é"])
def test_odd_keys_are_refused_before_anything_is_sent(files: FilesConnector, key: str):
    with pytest.raises(RequestError) as caught:
        files.get(key)
    assert caught.value.code == "OBJECT_KEY_INVALID"


def test_keys_name_row_and_content():
    assert object_key("reports", "0192-AB", 3, "9F86D081884C7D659A2FEAA0") == "reports/0192-ab/v3-9f86d081884c7d65"
    with pytest.raises(RequestError):
        object_key("reports", "a person", 1, "00")


def test_a_link_downloads_as_an_attachment_and_only_what_it_was_signed_for(files: FilesConnector):
    files.put(KEY, b"hello", "application/pdf")
    url = files.presign_get(KEY, timedelta(seconds=60), "report.pdf")
    answer = httpx.get(url)
    assert answer.content == b"hello"
    assert answer.headers["Content-Disposition"] == 'attachment; filename="report.pdf"'
    assert httpx.get(url.replace("v1-2cf24dba5fb0a30e", "v2-2cf24dba5fb0a30e")).status_code == 403


def test_a_link_lives_at_most_five_minutes_and_names_a_plain_file(files: FilesConnector):
    for lifetime in (timedelta(0), timedelta(minutes=5, seconds=1), timedelta(days=7)):
        with pytest.raises(RequestError):
            files.presign_get(KEY, lifetime)
    for name in ("", "../x", 'x"; y', "naïve.pdf", "a" * 101):
        with pytest.raises(RequestError):
            files.presign_get(KEY, filename=name)


def test_links_are_signed_for_the_public_address_without_a_call(object_store: ObjectStore):
    connector = FilesConnector(settings_for(object_store, endpoint="127.0.0.1:1", public_endpoint="files.lab.example"))
    assert connector.presign_get(KEY).startswith("http://files.lab.example/contract-files/")


def test_the_check_tells_what_is_wrong(files: FilesConnector, object_store: ObjectStore):
    assert check_connection(files).ok
    wrong = check_connection(FilesConnector(settings_for(object_store, secret_key=SecretStr("not-the-secret"))))
    assert not wrong.ok
    assert "refuses the credentials" in wrong.what
    missing = check_connection(FilesConnector(settings_for(object_store, bucket="not-there")))
    assert not missing.ok
    assert "LABSETU_OBJECTS__BUCKET" in missing.action
    closed = check_connection(FilesConnector(settings_for(object_store, endpoint="127.0.0.1:1")))
    assert not closed.ok
    assert "nothing listens" in closed.what


def test_a_bucket_without_versions_is_reported_and_repaired(object_store: ObjectStore):
    connector = FilesConnector(settings_for(object_store, bucket="unversioned"))
    connector.ensure_bucket()
    raw = Minio(endpoint=object_store.endpoint, access_key=object_store.access_key, secret_key=object_store.secret_key,
                secure=False)  # fmt: skip
    raw.set_bucket_versioning(bucket_name="unversioned", config=VersioningConfig(SUSPENDED))
    assert "versions" in check_connection(connector).what
    connector.ensure_bucket()
    assert check_connection(connector).ok


# Faults on the wire ---------------------------------------------------------------------------------------------------


@pytest.fixture
def answering() -> Iterator[Callable[[bytes], str]]:
    """Serve fixed bytes to every connection, then close it; returns the endpoint."""
    listeners: list[socket.socket] = []

    def serve(answer: bytes) -> str:
        listener = socket.create_server(("127.0.0.1", 0))
        listeners.append(listener)

        def run() -> None:
            while True:
                try:
                    connection, _ = listener.accept()
                except OSError:
                    return
                with connection:
                    connection.recv(65536)
                    connection.sendall(answer)

        threading.Thread(target=run, daemon=True).start()
        return f"127.0.0.1:{listener.getsockname()[1]}"

    yield serve
    for listener in listeners:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()


def response(status: str, body: bytes, content_type: str = "application/xml") -> bytes:
    head = (
        f"HTTP/1.1 {status}\r\nContent-Type: {content_type}\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n"
    )
    return head.encode() + body


def refusal(code: str) -> bytes:
    return f"<?xml version='1.0'?><Error><Code>{code}</Code><Message>call 9876543210</Message></Error>".encode()


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (b"", UnavailableError),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nshort", UnavailableError),
        (b"nonsense\r\n\r\n", UnavailableError),
        (response("503 Service Unavailable", refusal("ServiceUnavailable")), UnavailableError),
        (response("503 Slow Down", refusal("SlowDown")), RateLimitedError),
        (response("500 Internal Server Error", b"<html>", "text/html"), UnavailableError),
        (response("502 Bad Gateway", b"<html>", "text/html"), UnavailableError),
        (response("403 Forbidden", refusal("AccessDenied")), AuthError),
        (response("403 Forbidden", refusal("RequestTimeTooSkewed")), AuthError),
        (response("400 Bad Request", refusal("SomethingNew")), RejectedError),
        (response("302 Found", b""), UnavailableError),
    ],
)
def test_wire_faults_become_our_errors(
    answering: Callable[[bytes], str], object_store: ObjectStore, answer: bytes, expected: type[Exception]
):
    connector = FilesConnector(settings_for(object_store, endpoint=answering(answer), read_timeout_s=2))
    with pytest.raises(expected) as caught:
        connector.get(KEY)
    assert type(caught.value) is expected
    assert "9876543210" not in str(caught.value)


def test_a_silent_store_is_given_up(object_store: ObjectStore):
    with socket.create_server(("127.0.0.1", 0)) as silent:
        endpoint = f"127.0.0.1:{silent.getsockname()[1]}"
        connector = FilesConnector(settings_for(object_store, endpoint=endpoint, read_timeout_s=0.2))
        with pytest.raises(UnavailableError) as caught:
            connector.put(KEY, b"x", "application/pdf")
    assert caught.value.code == "LOST_AFTER_SEND"


def test_secrets_and_links_stay_out_of_reprs_errors_and_logs(
    files: FilesConnector, object_store: ObjectStore, caplog: pytest.LogCaptureFixture
):
    with caplog.at_level(logging.DEBUG):
        url = files.presign_get(KEY)
        with pytest.raises(AuthError) as caught:
            FilesConnector(settings_for(object_store, access_key="nobody")).put(KEY, b"x", "application/pdf")
    signature = url.partition("X-Amz-Signature=")[2]
    told = repr(files) + repr(settings_for(object_store)) + str(caught.value) + repr(vars(caught.value))
    lines = [JsonFormatter().format(record) for record in caplog.records]
    assert SECRET not in told + "".join(lines)
    assert signature not in "".join(lines)
    issued = [json.loads(line) for line in lines if "signed link issued" in line]
    assert issued[0]["object_key"] == KEY
