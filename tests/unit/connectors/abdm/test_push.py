"""Pushes reach public addresses only, and the very address that was checked."""

import asyncio
import ipaddress
import json
import ssl
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime, timedelta

import httpx
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from pydantic import SecretStr

from connectors.abdm.cipher import OwnKey, encrypt_bundle
from connectors.abdm.push import check_push_url, is_public, push_health_information, push_http, push_page
from domain.errors import AuthError, RejectedError, RequestError, UnavailableError
from tests.contract.abdm.cases import SETTINGS
from tests.contract.suites import RecordingJournal

RECEIVER = OwnKey()
NOW = datetime(2026, 11, 20, 6, 15, tzinfo=UTC)

HOSTILE = [
    "",
    "http://hiu.example.in/push",
    "https://hiu.example.in:8443/push",
    "https://hiu.example.in:22/",
    "https://user:pass@hiu.example.in/",
    "https://user@hiu.example.in/",
    "https:///push",
    "//hiu.example.in/",
    "hiu.example.in",
    "file:///etc/passwd",
    "ftp://hiu.example.in/",
    "gopher://x/",
    "javascript:alert(1)",
    "https://hiu.example.in\\@127.0.0.1/",
    "https://ex\r\nample.com/",
    "https://example.com\x00.evil/",
    "https://exämple.com/",
    "https://hiu.example.in/ x",
    "https://hiu.example.in:99999/",
    "https://[::1",
    "https://hiu.example.in/" + "a" * 3000,
]

PRIVATE = [
    "127.0.0.1", "127.8.8.8", "0.0.0.0", "10.0.0.5", "172.16.3.4", "192.168.1.1", "169.254.169.254", "100.64.0.1",
    "192.0.2.1", "198.18.0.1", "203.0.113.9", "224.0.0.1", "240.0.0.1", "255.255.255.255", "::", "::1", "fe80::1",
    "fd00::1", "ff02::1", "2001:db8::1", "::ffff:10.0.0.1", "::ffff:127.0.0.1", "64:ff9b::7f00:1", "64:ff9b::a00:5",
    "2002:7f00:1::", "2002:a00:5::", "2001:0:a00:5:0:0:f5ff:fffa", "fe80::1%lo", "nonsense", "",
]  # fmt: skip


@pytest.mark.parametrize("url", HOSTILE)
def test_addresses_of_a_hostile_form_are_refused(url):
    with pytest.raises(RequestError) as caught:
        check_push_url(url)
    assert caught.value.code == "PUSH_URL_REFUSED"
    assert not caught.value.retryable


@pytest.mark.parametrize("url", ["https://hiu.example.in/push", "https://hiu.example.in:443/a?b=c"])
def test_ordinary_addresses_have_an_acceptable_form(url):
    assert str(check_push_url(url).host) == "hiu.example.in"


@pytest.mark.parametrize("address", ["8.8.8.8", "1.1.1.1", "2606:4700:4700::1111", "64:ff9b::808:808"])
def test_public_addresses(address):
    assert is_public(ipaddress.ip_address(address))


def _resolver(*addresses: str):
    async def resolve(_host: str, _port: int):
        return addresses

    return resolve


def _page():
    sent = encrypt_bundle(b"{}", RECEIVER.public_key(), RECEIVER.nonce)
    return push_page("t-1", [("RPT-1", sent)], NOW + timedelta(hours=2))


async def _push(url: str, *, settings=SETTINGS, journal=None, **more):
    http = push_http(settings, journal, **more)
    try:
        await push_health_information(http, settings, url=url, page=_page(), access_token=SecretStr("very-secret"))
    finally:
        await http.client.aclose()


@pytest.mark.parametrize("address", PRIVATE)
async def test_names_that_lead_to_private_addresses_are_refused(address):
    with pytest.raises(RequestError):
        await _push("https://hiu.example.in/push", resolve=_resolver(address))


async def test_one_private_address_among_public_ones_is_refused():
    with pytest.raises(RequestError):
        await _push("https://hiu.example.in/push", resolve=_resolver("8.8.8.8", "10.0.0.1"))


@pytest.mark.parametrize(
    "url",
    [
        "https://2130706433/",
        "https://0x7f.1/",
        "https://0177.0.0.1/",
        "https://0/",
        "https://localhost/",
        "https://[::1]/",
    ],
)
async def test_other_spellings_of_this_machine_are_refused(url):
    with pytest.raises(RequestError):
        await _push(url)


async def test_a_name_that_does_not_resolve_may_come_back():
    async def fails(_host: str, _port: int):
        raise OSError("no such name")

    with pytest.raises(UnavailableError):
        await _push("https://hiu.example.in/push", resolve=fails)
    with pytest.raises(UnavailableError):
        await _push("https://hiu.example.in/push", resolve=_resolver())


class Receiver:
    """An HTTP server that answers every request with fixed bytes and remembers it."""

    def __init__(self, answer: bytes, hang: bool = False):
        self.answer = answer
        self.hang = hang
        self.requests: list[bytes] = []
        self.port = 0

    async def handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter):
        head = await reader.readuntil(b"\r\n\r\n")
        length = next(
            int(line.split(b":")[1]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length")
        )
        self.requests.append(head + await reader.readexactly(length))
        if self.hang:
            await reader.read()
        writer.write(self.answer)
        with suppress(ConnectionError):
            await writer.drain()
        writer.close()


@asynccontextmanager
async def serving(receiver: Receiver, tls: ssl.SSLContext | None = None):
    server = await asyncio.start_server(receiver.handle, "127.0.0.1", 0, ssl=tls)
    receiver.port = server.sockets[0].getsockname()[1]
    async with server:
        yield receiver


def _allowed(*hosts: str, **more):
    return SETTINGS.model_copy(update={"allowed_push_hosts": hosts, **more})


OK = b"HTTP/1.1 202 Accepted\r\nContent-Length: 0\r\n\r\n"


async def test_a_named_development_host_gets_the_page():
    journal = RecordingJournal()
    async with serving(Receiver(OK)) as receiver:
        url = f"http://127.0.0.1:{receiver.port}/push"
        await _push(url, settings=_allowed(f"127.0.0.1:{receiver.port}"), journal=journal)
    head, _, body = receiver.requests[0].partition(b"\r\n\r\n")
    page = json.loads(body)
    assert b"authorization: bearer very-secret" in head.lower()
    assert (page["pageNumber"], page["pageCount"], page["transactionId"]) == (1, 1, "t-1")
    assert page["entries"][0]["careContextReference"] == "RPT-1"
    assert page["keyMaterial"]["dhPublicKey"]["expiry"] == "2026-11-20T08:15:00.000Z"
    assert "very-secret" not in repr(journal.calls)
    assert page["entries"][0]["content"] not in repr(journal.calls)


async def test_the_token_stays_home_when_told_so():
    async with serving(Receiver(OK)) as receiver:
        settings = _allowed("127.0.0.1", push_sends_token=False)
        await _push(f"http://127.0.0.1:{receiver.port}/push", settings=settings)
    assert b"authorization" not in receiver.requests[0].lower()


async def test_allowing_one_port_allows_no_other():
    async with serving(Receiver(OK)) as receiver:
        with pytest.raises(RequestError):
            await _push(f"http://127.0.0.1:{receiver.port}/", settings=_allowed(f"127.0.0.1:{receiver.port + 1}"))
    assert receiver.requests == []


async def test_redirects_are_not_followed():
    answer = b"HTTP/1.1 307 X\r\nLocation: http://169.254.169.254/\r\nContent-Length: 0\r\n\r\n"
    async with serving(Receiver(answer)) as receiver:
        with pytest.raises(RejectedError) as caught:
            await _push(f"http://127.0.0.1:{receiver.port}/", settings=_allowed("127.0.0.1"))
    assert caught.value.code == "PARTNER_REDIRECT"
    assert len(receiver.requests) == 1


@pytest.mark.parametrize(
    ("status", "error"),
    [("400 Bad", RejectedError), ("413 Large", RejectedError), ("401 No", AuthError), ("500 Oops", UnavailableError)],
)
async def test_refusals_of_the_requester(status, error):
    async with serving(Receiver(f"HTTP/1.1 {status}\r\nContent-Length: 0\r\n\r\n".encode())) as receiver:
        with pytest.raises(error):
            await _push(f"http://127.0.0.1:{receiver.port}/", settings=_allowed("127.0.0.1"))


async def test_an_endless_or_packed_answer_costs_nothing():
    answer = b"HTTP/1.1 202 OK\r\nContent-Encoding: gzip\r\nContent-Length: 900000000\r\n\r\n" + b"x" * 200_000
    async with serving(Receiver(answer)) as receiver:
        await _push(f"http://127.0.0.1:{receiver.port}/", settings=_allowed("127.0.0.1"))


async def test_a_requester_that_hangs_is_given_up():
    async with serving(Receiver(OK, hang=True)) as receiver:
        settings = _allowed("127.0.0.1", push_timeout_s=0.2)
        with pytest.raises(UnavailableError) as caught:
            await _push(f"http://127.0.0.1:{receiver.port}/", settings=settings)
    assert caught.value.code == "LOST_AFTER_SEND"


def _certificate(name: str) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """Return server and client contexts for a fresh certificate of `name`."""
    import tempfile
    from pathlib import Path

    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(datetime(2020, 1, 1, tzinfo=UTC))
        .not_valid_after(datetime(2120, 1, 1, tzinfo=UTC))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .sign(key, hashes.SHA256())
    )
    pem = certificate.public_bytes(serialization.Encoding.PEM)
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "both.pem"
        file.write_bytes(private + pem)
        server.load_cert_chain(file)
    client = ssl.create_default_context(cadata=pem.decode())
    return server, client


async def test_the_checked_address_is_used_while_the_certificate_is_the_names():
    """The name exists in no DNS: the connection can only go to the address that was looked up once."""
    server, client = _certificate("hiu.example.in")
    looked_up = []

    async def resolve(host: str, _port: int):
        looked_up.append(host)
        return ["127.0.0.1"]

    async with serving(Receiver(OK), server) as receiver:
        url = f"https://hiu.example.in:{receiver.port}/push"
        await _push(url, settings=_allowed("hiu.example.in"), resolve=resolve, verify=client)
    assert looked_up == ["hiu.example.in"]
    assert f"host: hiu.example.in:{receiver.port}".encode() in receiver.requests[0].lower()


async def test_a_certificate_of_another_name_is_refused():
    server, client = _certificate("other.example.in")
    async with serving(Receiver(OK), server) as receiver:
        url = f"https://hiu.example.in:{receiver.port}/push"
        with pytest.raises(UnavailableError):
            await _push(url, settings=_allowed("hiu.example.in"), resolve=_resolver("127.0.0.1"), verify=client)
    assert receiver.requests == []


async def test_the_second_address_is_tried_when_the_first_is_dead():
    async with serving(Receiver(OK)) as receiver:
        url = f"http://hiu.example.in:{receiver.port}/push"
        await _push(url, settings=_allowed("hiu.example.in"), resolve=_resolver("127.0.0.2", "127.0.0.1"))
    assert len(receiver.requests) == 1


async def test_proxy_variables_are_ignored(monkeypatch):
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("ALL_PROXY", "http://127.0.0.1:9")
    async with serving(Receiver(OK)) as receiver:
        await _push(f"http://127.0.0.1:{receiver.port}/", settings=_allowed("127.0.0.1"))
    assert receiver.requests


def test_a_page_has_one_key():
    one, two = (encrypt_bundle(b"x", RECEIVER.public_key(), RECEIVER.nonce) for _ in range(2))
    with pytest.raises(RequestError):
        push_page("t", [("A", one), ("B", two)], NOW)
    with pytest.raises(RequestError):
        push_page("t", [], NOW)


def test_the_page_shows_no_record_in_its_repr():
    page = _page()
    assert page.entries[0].content not in repr(page)


async def test_requests_to_other_places_through_the_same_client_are_checked_too():
    http = push_http(SETTINGS)
    with pytest.raises(RequestError):
        await http.client.get("http://169.254.169.254/latest/meta-data/")
    await http.client.aclose()
    assert isinstance(http.client, httpx.AsyncClient)
