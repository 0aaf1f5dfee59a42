"""Sending encrypted records to the address a requester chose.

The address comes from outside, so it may point anywhere: at this machine, at the database, at a cloud's metadata
service. It is therefore resolved once, every address found is checked, and the connection goes to the checked address
while certificate and Host stay the name's: a second look-up cannot change the answer. No redirect, no proxy, no
reuse of a connection, and the answer is cut off after 64 KiB, because only its status matters.
Source: OWASP API Security Top 10 2023, API7 Server Side Request Forgery; IANA special-purpose address registries.
"""

from __future__ import annotations

import asyncio
import ipaddress
import socket
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from datetime import datetime

import httpx
from pydantic import SecretStr

from connectors.abdm import wire
from connectors.abdm.cipher import EncryptedContent
from connectors.abdm.mapping import instant
from connectors.abdm.settings import AbdmSettings
from connectors.http import CallJournal, NoJournal, PartnerHttp
from domain.errors import RequestError, UnavailableError

CONNECT_TIMEOUT_S = 5.0
MAX_ANSWER_BYTES = 64 * 1024
MAX_URL_CHARACTERS = 2048
MAX_ADDRESSES = 3

IpAddress = ipaddress.IPv4Address | ipaddress.IPv6Address
Resolver = Callable[[str, int], Awaitable[Sequence[str]]]
"""Takes a host name and a port, returns its addresses as text."""

_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")


async def system_resolver(host: str, port: int) -> Sequence[str]:
    """Return the addresses of `host` as the operating system sees them.

    It also understands `2130706433` and `0x7f.1`, which are 127.0.0.1: the reason why names are checked after
    resolution and never by their spelling.

    Raises:
        OSError: The name does not resolve.
    """
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return [str(entry[4][0]) for entry in found]


def is_public(address: IpAddress) -> bool:
    """Tell whether `address`, and every address tunnelled inside it, is one of the public internet."""
    if address.is_multicast or not address.is_global:
        return False
    return all(is_public(inner) for inner in _embedded(address))


def _embedded(address: IpAddress) -> list[IpAddress]:
    """Return the IPv4 addresses that an IPv6 address leads to (mapped, 6to4, Teredo, NAT64)."""
    if isinstance(address, ipaddress.IPv4Address):
        return []
    inner: list[IpAddress] = [one for one in (address.ipv4_mapped, address.sixtofour) if one is not None]
    inner.extend(address.teredo or ())
    if address in _NAT64:
        inner.append(ipaddress.IPv4Address(int(address) & 0xFFFFFFFF))
    return inner


def _refused(why: str) -> RequestError:
    return RequestError(
        f"records are not sent to this address: {why}", code="PUSH_URL_REFUSED",
        action="Nothing is sent. If the requester is genuine, it must offer HTTPS on port 443 at a public address.",
        connector="abdm", operation="push_health_information",
    )  # fmt: skip


def check_push_url(url: str, allowed_hosts: Sequence[str] = ()) -> httpx.URL:
    """Return `url` parsed when its form is acceptable; what its host resolves to is checked when connecting.

    Args:
        url: The requester's address.
        allowed_hosts: `host` or `host:port` that may use http, any port and any address: development only.

    Raises:
        RequestError: It is not `https://name[:443]/…` without user and password.
    """
    if len(url) > MAX_URL_CHARACTERS or not url.isprintable() or not url.isascii() or " " in url or "\\" in url:
        raise _refused("it is too long or has characters an address cannot have")
    try:
        parsed = httpx.URL(url)
    except httpx.InvalidURL:
        raise _refused("it is not a URL") from None
    if not parsed.host or parsed.userinfo or parsed.scheme not in {"http", "https"}:
        raise _refused("it names no host, carries credentials, or is not HTTPS")
    if _is_allowed(parsed, allowed_hosts):
        return parsed
    if parsed.scheme != "https" or _port(parsed) != 443:  # noqa: PLR2004  the HTTPS port
        raise _refused("only HTTPS on port 443 is used")
    return parsed


def _port(url: httpx.URL) -> int:
    return url.port or (443 if url.scheme == "https" else 80)


def _is_allowed(url: httpx.URL, allowed_hosts: Sequence[str]) -> bool:
    return url.host in allowed_hosts or f"{url.host}:{_port(url)}" in allowed_hosts


class _CutOff(httpx.AsyncByteStream):
    """Gives the first bytes of an answer and then pretends it is over."""

    def __init__(self, stream: httpx.AsyncByteStream) -> None:
        self._stream = stream

    async def __aiter__(self) -> AsyncIterator[bytes]:
        left = MAX_ANSWER_BYTES
        async for chunk in self._stream:
            yield chunk[:left]
            left -= len(chunk)
            if left <= 0:
                return

    async def aclose(self) -> None:
        await self._stream.aclose()


class CheckedTransport(httpx.AsyncBaseTransport):
    """Connects only to addresses of the public internet, and to the very address that was checked."""

    def __init__(
        self,
        allowed_hosts: Sequence[str] = (),
        *,
        resolve: Resolver = system_resolver,
        verify: ssl.SSLContext | bool = True,
    ) -> None:
        self._allowed_hosts = tuple(allowed_hosts)
        self._resolve = resolve
        # A kept connection is known by its address only; reused, it could carry one name's records over the TLS
        # session of another name at the same address.
        limits = httpx.Limits(max_connections=20, max_keepalive_connections=0)
        self._inner = httpx.AsyncHTTPTransport(verify=verify, trust_env=False, limits=limits)

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Check, connect and send.

        Raises:
            RequestError: The address is refused; nothing was sent.
            httpx.TransportError: The address is fine but was not reached.
        """
        url = check_push_url(str(request.url), self._allowed_hosts)
        addresses = await self._addresses(url)
        failure: httpx.TransportError | None = None
        for address in addresses:
            try:
                response = await self._inner.handle_async_request(self._directed(request, address))
            except (httpx.ConnectError, httpx.ConnectTimeout) as error:
                failure = error
                continue
            return self._cut(response)
        raise failure or httpx.ConnectError("the name has no address")

    async def aclose(self) -> None:
        """Close the inner transport."""
        await self._inner.aclose()

    async def _addresses(self, url: httpx.URL) -> list[str]:
        try:
            async with asyncio.timeout(CONNECT_TIMEOUT_S):
                found = await self._resolve(url.host, _port(url))
        except (OSError, UnicodeError, TimeoutError) as error:
            raise httpx.ConnectError("the name does not resolve") from error
        unique = list(dict.fromkeys(found))
        # One private address among public ones is enough to refuse: the next look-up might give only that one.
        if not (_is_allowed(url, self._allowed_hosts) or all(_is_public_text(address) for address in unique)):
            raise _refused("it leads to an address that is not public")
        return unique[:MAX_ADDRESSES]

    @staticmethod
    def _directed(request: httpx.Request, address: str) -> httpx.Request:
        """Return `request` sent to `address` while Host, SNI and the certificate check keep the name."""
        return httpx.Request(
            request.method,
            request.url.copy_with(host=address),
            headers=request.headers,
            stream=request.stream,
            extensions={**request.extensions, "sni_hostname": request.url.host},
        )

    @staticmethod
    def _cut(response: httpx.Response) -> httpx.Response:
        headers = [
            (name, value)
            for name, value in response.headers.multi_items()
            if name not in {"content-encoding", "content-length"}
        ]
        stream = response.stream
        assert isinstance(stream, httpx.AsyncByteStream)  # noqa: S101  an async transport gives no other
        return httpx.Response(
            response.status_code, headers=headers, stream=_CutOff(stream), extensions=response.extensions
        )


def _is_public_text(address: str) -> bool:
    try:
        return is_public(ipaddress.ip_address(address.partition("%")[0]))
    except ValueError:
        return False


def push_http(
    settings: AbdmSettings,
    journal: CallJournal | None = None,
    *,
    resolve: Resolver = system_resolver,
    verify: ssl.SSLContext | bool = True,
) -> PartnerHttp:
    """Return the HTTP side for pushes; close its `client` when done.

    Args:
        settings: Which hosts development may use, and the time limits.
        journal: Where calls are recorded.
        resolve: Name look-up.
        verify: Trusted certificates.
    """
    client = httpx.AsyncClient(
        transport=CheckedTransport(settings.allowed_push_hosts, resolve=resolve, verify=verify),
        timeout=httpx.Timeout(settings.push_timeout_s, connect=CONNECT_TIMEOUT_S),
        headers={"Accept-Encoding": "identity"},
        trust_env=False,
        follow_redirects=False,
    )
    return PartnerHttp(client, "abdm", journal or NoJournal())


def push_page(
    transaction_id: str, contents: Sequence[tuple[str, EncryptedContent]], key_expiry: datetime
) -> wire.PushPage:
    """Return one page with all records of a transfer.

    Args:
        transaction_id: Of the request that is answered.
        contents: Pairs (care context reference, encrypted bundle), all encrypted with one `OwnKey`.
        key_expiry: Until when the requester may ask us about this key; aware.

    Raises:
        RequestError: There are no contents, or they were encrypted with different keys.
    """
    keys = {(content.public_key, content.nonce) for _, content in contents}
    if len(keys) != 1:
        raise RequestError("one transfer has one key pair", connector="abdm", operation="push_health_information")
    ((public_key, nonce),) = keys
    return wire.PushPage(
        transaction_id=transaction_id,
        entries=[
            wire.PushEntry(content=content.content, checksum=content.checksum, care_context_reference=reference)
            for reference, content in contents
        ],
        key_material=wire.KeyMaterial(
            dh_public_key=wire.PublicKey(expiry=instant(key_expiry), key_value=public_key), nonce=nonce
        ),
    )


async def push_health_information(
    http: PartnerHttp,
    settings: AbdmSettings,
    *,
    url: str,
    page: wire.PushPage,
    access_token: SecretStr | None = None,
) -> None:
    """Send one page of encrypted records to the requester.

    Sending the same page twice does no harm: a requester keeps a page by transaction and number.

    Args:
        http: From `push_http`; no other client is safe here.
        settings: Time limit and whether the gateway token goes along.
        url: The requester's `dataPushUrl`.
        page: The records.
        access_token: The gateway token, from `AbdmConnector.access_token`.

    Raises:
        RequestError: The address is refused; nothing was sent.
        ConnectorError: See `connectors.http.PartnerHttp.send`.
    """
    checked = check_push_url(url, settings.allowed_push_hosts)
    headers = {}
    if settings.push_sends_token and access_token is not None:
        headers["Authorization"] = f"Bearer {access_token.get_secret_value()}"
    request = http.client.build_request("POST", checked, json=page.json_body(), headers=headers)
    try:
        async with asyncio.timeout(settings.push_timeout_s):
            await http.send(
                request, operation="push_health_information", safe_to_repeat=True, reference=page.transaction_id
            )
    except TimeoutError as error:
        raise UnavailableError(
            "the requester did not take the records in time", code="LOST_AFTER_SEND",
            connector="abdm", operation="push_health_information",
        ) from error  # fmt: skip
