"""Encrypted lines: the laboratory's certificate for devices that connect, checks of those that we connect to."""

from __future__ import annotations

import ssl
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class TlsFiles:
    """PEM files; None where there is none.

    Attributes:
        certificate: Ours, with its chain.
        key: Of `certificate`.
        client_ca: Certificates of devices that connect must come from it; None asks devices for none.
        server_ca: Certificates of devices that listen must come from it; None is the system's list.
    """

    certificate: Path | None = None
    key: Path | None = None
    client_ca: Path | None = None
    server_ca: Path | None = None


def server_context(files: TlsFiles) -> ssl.SSLContext:
    """Return how devices that connect are met: TLS 1.2 or later, with a certificate of theirs where a CA is set.

    Raises:
        OSError: There is no certificate, or a file cannot be read.
    """
    if files.certificate is None:
        raise FileNotFoundError(2, "no certificate is set for encrypted lines")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.load_cert_chain(files.certificate, files.key)
    if files.client_ca is not None:
        context.verify_mode = ssl.CERT_REQUIRED
        context.load_verify_locations(files.client_ca)
    return context


def client_context(files: TlsFiles) -> ssl.SSLContext:
    """Return how devices that listen are met: their certificate and name are checked, ours is shown if there is one.

    Raises:
        OSError: A file cannot be read.
    """
    context = ssl.create_default_context(cafile=files.server_ca)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if files.certificate is not None:
        context.load_cert_chain(files.certificate, files.key)
    return context
