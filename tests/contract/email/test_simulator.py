"""E-mail over real SMTP against the simulated relay. The shared suites speak HTTP; these are the same questions."""

import contextlib
import dataclasses
import logging
import ssl
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address

import httpx
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from connectors.email import EmailConnector, EmailSettings
from connectors.email.check import check_connection
from connectors.email.settings import Security
from connectors.email.simulator import MailServer, create_app
from domain.errors import AuthError, OutcomeUnknownError, RejectedError, RequestError, UnavailableError
from domain.messaging import Channel, DeliveryState, OutboundMessage
from tests.contract.standins import Clock
from tests.contract.suites import RecordingJournal

PASSWORD = "relay-password"
MESSAGE = OutboundMessage(
    notification_id="ntf-1",
    to="asha@example.in",
    template="report_ready",
    language="hi",
    parameters=(),
    text="नमस्ते Asha, आपकी रिपोर्ट तैयार है।\n.\nA line that begins with a dot stays one.",
    subject="रिपोर्ट DEL-261123-0042",
    document_url="https://lab.example.in/d/abc?sig=xyz",
)


@pytest.fixture(scope="module")
def certificate(tmp_path_factory):
    """Return (server context, CA file) for 127.0.0.1."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "relay.test")])
    now = datetime.now(UTC)  # noqa: TID251  certificates are checked against the real clock
    built = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    folder = tmp_path_factory.mktemp("relay")
    certificate_file, key_file = folder / "certificate.pem", folder / "key.pem"
    certificate_file.write_bytes(built.public_bytes(serialization.Encoding.PEM))
    key_file.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate_file, key_file)
    return context, str(certificate_file)


@contextlib.asynccontextmanager
async def relay(**options):
    server = MailServer(clock=Clock(), **options)
    await server.start()
    try:
        yield server
    finally:
        await server.stop()


def connect(server, **changes):
    fields = {"security": Security.NONE, "sender": "reports@lab.example.in", "timeout_s": 5} | changes
    journal = RecordingJournal()
    connector = EmailConnector(EmailSettings(host=server.host, port=server.port, **fields), journal, Clock())
    connector.journal = journal
    return connector


async def test_a_mail_arrives_whole():
    async with relay() as server:
        connector = connect(server, sender_name="LabSetu, दिल्ली", reply_to="desk@lab.example.in")
        assert connector.name == Channel.EMAIL
        sent = await connector.send(MESSAGE)
    assert sent.state is DeliveryState.ACCEPTED
    assert sent.provider_id == "<ntf-1@lab.example.in>"
    (mail,) = server.mails
    assert (mail.sender, mail.recipient) == ("reports@lab.example.in", "asha@example.in")
    assert mail.message["Message-ID"] == sent.provider_id
    assert mail.message["Subject"] == MESSAGE.subject
    assert mail.message["From"].addresses[0].display_name == "LabSetu, दिल्ली"
    assert mail.message["Reply-To"] == "desk@lab.example.in"
    assert mail.text.replace("\r\n", "\n") == f"{MESSAGE.text}\n\n{MESSAGE.document_url}\n"
    assert not list(mail.message.iter_attachments())


async def test_the_same_notification_twice_is_the_same_mail():
    async with relay() as server:
        first, second = await connect(server).send(MESSAGE), await connect(server).send(MESSAGE)
    assert first == second
    assert server.mails[0].raw == server.mails[1].raw


async def test_starttls_and_login(certificate):
    context, ca_file = certificate
    protected = {"security": Security.STARTTLS, "ca_file": ca_file, "username": "lab", "password": PASSWORD}
    async with relay(username="lab", password=PASSWORD, tls_context=context) as server:
        await connect(server, **protected).send(MESSAGE)
        assert len(server.mails) == 1
        with pytest.raises(AuthError) as wrong:
            await connect(server, **protected | {"password": "guess"}).send(MESSAGE)
        assert wrong.value.partner_code == "535"
        untrusted = await check_connection(connect(server, **protected | {"ca_file": ""}))
        assert "certificate" in untrusted.what
        with pytest.raises(AuthError) as plain:
            await connect(server).send(MESSAGE)
        assert plain.value.partner_code == "530"
        assert (await check_connection(connect(server, **protected))).ok
    assert len(server.mails) == 1


async def test_tls_from_the_first_byte(certificate):
    context, ca_file = certificate
    async with relay(tls_context=context, implicit_tls=True) as server:
        await connect(server, security=Security.TLS, ca_file=ca_file).send(MESSAGE)
        assert len(server.mails) == 1
    async with relay() as plain:
        with pytest.raises(UnavailableError):
            await connect(plain, security=Security.TLS).send(MESSAGE)
        with pytest.raises(RequestError) as unsuitable:
            await connect(plain, security=Security.STARTTLS).send(MESSAGE)
        assert unsuitable.value.code == "RELAY_UNSUITABLE"


@pytest.mark.parametrize(
    ("to", "kind", "code"),
    [("unknown@example.in", RejectedError, "550"), ("full@example.in", UnavailableError, "452")],
)
async def test_refused_recipients(to, kind, code):
    async with relay() as server:
        with pytest.raises(kind) as caught:
            await connect(server).send(dataclasses.replace(MESSAGE, to=to))
        assert caught.value.partner_code == code
        assert to not in caught.value.message
        assert not server.mails


@pytest.mark.parametrize(("status", "kind", "code"), [(500, UnavailableError, "451"), (400, RejectedError, "554")])
async def test_refused_texts_are_not_kept(status, kind, code):
    async with relay() as server:
        server.behaviour.change({"fail_next": 1, "fail_status": status})
        with pytest.raises(kind) as caught:
            await connect(server).send(MESSAGE)
        assert caught.value.partner_code == code
        assert not server.mails
        await connect(server).send(MESSAGE)


async def test_lost_after_the_text_is_an_unknown_outcome():
    async with relay() as server:
        server.behaviour.drop_after_next = 1
        with pytest.raises(OutcomeUnknownError):
            await connect(server).send(MESSAGE)
        assert len(server.mails) == 1


async def test_silent_after_the_text_is_an_unknown_outcome():
    async with relay() as server:
        server.behaviour.slow_s = 2
        with pytest.raises(OutcomeUnknownError):
            await connect(server, timeout_s=0.2).send(MESSAGE)


async def test_not_reached_is_unavailable_and_explained():
    async with relay() as server:
        server.behaviour.down = True
        with pytest.raises(UnavailableError) as caught:
            await connect(server).send(MESSAGE)
        assert caught.value.partner_code == "421"
    result = await check_connection(connect(server))
    assert not result.ok
    assert "nothing listens" in result.what


@pytest.mark.parametrize(
    "change",
    [
        {"subject": "Report\r\nBcc: everyone@example.in"},
        {"subject": "Report\nX: y"},
        {"subject": ""},
        {"subject": "x" * 201},
        {"to": "asha@example.in\r\nRCPT TO:<everyone@example.in>"},
        {"to": "asha@example.in, everyone@example.in"},
        {"to": "Asha <asha@example.in>"},
        {"to": "आशा@example.in"},
        {"to": ""},
        {"notification_id": "ntf-1>\r\nBcc: x"},
        {"language": "en\r\nBcc: x"},
        {"text": " "},
        {"document_url": "https://lab.example.in/a b"},
    ],
)
async def test_what_could_add_headers_or_people_is_never_sent(change):
    async with relay() as server:
        with pytest.raises(RequestError):
            await connect(server).send(dataclasses.replace(MESSAGE, **change))
        assert not server.mails


async def test_a_text_cannot_end_the_mail_early():
    async with relay() as server:
        text = "Hello\r\n.\r\nMAIL FROM:<evil@example.in>\r\n"
        await connect(server).send(dataclasses.replace(MESSAGE, text=text))
        (mail,) = server.mails
    assert "MAIL FROM" in mail.text


@pytest.mark.parametrize("status", [0, 500, 400])
async def test_secrets_stay_inside(certificate, caplog, status):
    caplog.set_level(logging.DEBUG)
    context, ca_file = certificate
    async with relay(username="lab", password=PASSWORD, tls_context=context) as server:
        protected = {"security": Security.STARTTLS, "ca_file": ca_file, "username": "lab", "password": PASSWORD}
        connector = connect(server, **protected)
        if status:
            server.behaviour.change({"fail_next": 1, "fail_status": status})
        # aiosmtpd, on the relay's side of the wire, logs commands; only our side is looked at
        shown = [repr(connector), repr(EmailSettings(host="h", sender="a@b.in", **protected)), repr(MESSAGE)]
        try:
            await connector.send(MESSAGE)
        except (RejectedError, UnavailableError) as error:
            shown += [repr(error), str(error)]
    (call,) = connector.journal.calls
    shown += [repr(call), *(record.getMessage() for record in caplog.records if record.name != "mail.log")]
    assert call.outcome == ("ok" if not status else call.outcome)
    assert (call.status, call.reference) == ({0: 250, 500: 451, 400: 554}[status], "ntf-1")
    for secret in (PASSWORD, "asha@example.in", "sig=xyz", "Asha"):
        assert all(secret not in text for text in shown)


async def test_the_mailbox_can_be_read_and_switched():
    server = MailServer(clock=Clock())
    app = create_app(server, run_server=True)
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://mailbox.test") as http,
    ):
        await connect(server).send(dataclasses.replace(MESSAGE, text="<script>alert(1)</script>"))
        (mail,) = (await http.get("/_sim/state")).json()["mails"]
        assert mail["message_id"] == "<ntf-1@lab.example.in>"
        assert "<script>" not in (await http.get("/")).text
        await http.post("/_sim/behaviour", json={"down": True})
        with pytest.raises(UnavailableError):
            await connect(server).send(MESSAGE)
