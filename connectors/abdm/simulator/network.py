"""The simulated network's memory: people, sessions, links, consents, transfers, and the keys it signs with.

No HTTP in here. Times come from the clock it is given; waits are settings, so that tests need none.
"""

from __future__ import annotations

import functools
import json
import secrets
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Literal

import jwt
from cryptography.hazmat.primitives.asymmetric import rsa
from pydantic import BaseModel, ConfigDict, Field

from connectors.abdm.cipher import KeyEncoding, OwnKey
from connectors.simulation import Behaviour, WebhookSender

BLOCKED_FOR = timedelta(hours=24)
MATCHES_BEFORE_BLOCK = 3
LINK_TOKEN_LIFE = timedelta(days=180)
PUSH_LIMIT = timedelta(minutes=20)

BASE = "/api/hiecm"


class Person(BaseModel):
    """One ABHA holder. The seeded ones are invented; their numbers pass the check digit."""

    abha_number: str = Field(pattern=r"^\d{14}$")
    abha_address: str
    name: str
    gender: Literal["M", "F", "O"]
    year_of_birth: int = Field(ge=1900, le=2100)


SEEDED = (
    Person(
        abha_number="91000000000000", abha_address="asha.k@sbx", name="Asha Kulkarni", gender="F", year_of_birth=1990
    ),
    Person(abha_number="91000000000018", abha_address="ravi.m@sbx", name="Ravi Menon", gender="M", year_of_birth=1975),
)


class Quirks(BaseModel):
    """Faults that only this network has, besides the shared switches."""

    model_config = ConfigDict(extra="forbid", validate_assignment=True)

    error_shape: Literal["nested", "array", "flat", "colon", "empty"] = "nested"
    not_subscribed: bool = Field(default=False, description="Answer 403 with 900908")
    callback_token: Literal["good", "expired", "wrong_audience", "wrong_key", "unsigned", "missing"] = "good"
    hiu_status: int = Field(default=202, ge=200, le=599, description="What the requester answers to a push")
    hiu_key: KeyEncoding = KeyEncoding.POINT
    hiu_nonce_bytes: int = Field(default=32, ge=0, le=64)
    hiu_asks_too_much: bool = Field(default=False, description="Ask for a period beyond the consent")
    push_url: str = Field(default="", description="Ask for records to be sent here instead")
    revoke_before_push: bool = Field(default=False, description="Revoke a consent right after its request")


@dataclass(frozen=True)
class SimulatorConfig:
    """What a simulated network is told at its start.

    Attributes:
        bridge_url: Where callbacks go until the bridge registers another URL.
        public_url: Under which the requester's push endpoint is reached.
        link_commit_s: A notice that comes sooner than this after its link is refused (the observed race).
        pull_after_s: How long after a notice the patient's app asks for the record; below 0: never by itself.
        request_after_s: How long after a consent the request for records follows.
        token_repeat_window_s: The same demographics again within this time are a duplicate request.
        session_s: Life of an access token.
    """

    client_id: str = "SBX_000001"
    client_secret: str = field(default="simulated-client-secret", repr=False)
    hip_id: str = "IN2810000001"
    cm_id: str = "sbx"
    bridge_url: str = "http://127.0.0.1:8000"
    public_url: str = "http://127.0.0.1:8104"
    link_commit_s: float = 0.5
    pull_after_s: float = 2.0
    request_after_s: float = 0.5
    token_repeat_window_s: float = 5.0
    session_s: int = 1200
    people: tuple[Person, ...] = SEEDED


@dataclass
class Link:
    """One care context linked to a patient."""

    hip_id: str
    abha_address: str
    patient_reference: str
    reference: str
    hi_type: str
    committed_at: datetime
    notices: int = 0


@dataclass
class Consent:
    """One consent of a patient for the built-in app."""

    consent_id: str
    abha_address: str
    contexts: list[tuple[str, str]]
    hi_type: str
    date_from: datetime
    date_to: datetime
    erase_at: datetime
    status: str = "GRANTED"
    acknowledged: int = 0


@dataclass
class ReceivedRecord:
    """One decrypted record, as the patient's app sees it.

    Attributes:
        problems: What is wrong with the bundle; empty for a good one.
        summary: Name and value of each result.
    """

    care_context_reference: str
    problems: list[str]
    summary: list[str]
    size_bytes: int
    bundle: bytes = field(repr=False)


@dataclass
class Transfer:
    """One request for records and what came of it."""

    transaction_id: str
    consent_id: str
    own: OwnKey = field(repr=False)
    requested_at: datetime
    due: datetime
    sent: bool = False
    session_status: str = "REQUESTED"
    refusal: str = ""
    records: list[ReceivedRecord] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)
    pushes: int = 0
    notified: str = ""


class Network:
    """Everything the gateway, the consent manager and the patient's app know."""

    def __init__(
        self, config: SimulatorConfig, sender: WebhookSender, clock: Callable[[], datetime], behaviour: Behaviour
    ) -> None:
        self.config = config
        self.sender = sender
        self.clock = clock
        self.behaviour = behaviour
        self.quirks = Quirks()
        self.bridge_url = config.bridge_url
        self.people: dict[str, Person] = {person.abha_address.lower(): person for person in config.people}
        self.sessions: dict[str, datetime] = {}
        self.seen_requests: set[str] = set()
        self.callbacks: dict[str, str] = {}
        self.failed_matches: dict[str, int] = {}
        self.blocked_until: dict[str, datetime] = {}
        self.token_requests: dict[str, datetime] = {}
        self.links: list[Link] = []
        self.consents: dict[str, Consent] = {}
        self.transfers: dict[str, Transfer] = {}
        self.pulls: list[tuple[datetime, Link]] = []
        self.refusals: list[str] = []
        self._link_secret = secrets.token_hex(32)
        self._stranger: rsa.RSAPrivateKey | None = None
        self._keys = _first_keys()

    def rotate_keys(self) -> None:
        """Start signing with new keys, as the gateway does now and then."""
        self._keys = _fresh_keys()

    def key_set(self) -> dict[str, object]:
        """Return the public keys as a JSON Web Key Set, both algorithms."""
        keys = []
        for key_id, (algorithm, key) in self._keys.items():
            public = json.loads(jwt.algorithms.RSAAlgorithm.to_jwk(key.public_key()))
            keys.append({**public, "kid": key_id, "use": "sig", "alg": algorithm})
        return {"keys": keys}

    def person_of(self, number: str, address: str) -> Person | None:
        """Return who has this address, or else this number."""
        if address:
            return self.people.get(address.lower())
        return next((person for person in self.people.values() if person.abha_number == number), None)

    def link_token(self, person: Person, hip_id: str) -> str:
        """Return a token that lets `hip_id` link records of `person` for six months."""
        claims = {
            "abhaNumber": person.abha_number,
            "abhaAddress": person.abha_address,
            "hipId": hip_id,
            "jti": uuid.uuid4().hex,
            "exp": self.clock() + LINK_TOKEN_LIFE,
        }
        return jwt.encode(claims, self._link_secret, algorithm="HS256")

    def read_link_token(self, token: str) -> Mapping[str, object] | None:
        """Return the claims of a link token, or None when it is forged or expired."""
        try:
            claims: dict[str, object] = jwt.decode(token, self._link_secret, algorithms=["HS256"])
        except jwt.PyJWTError:
            return None
        return claims

    def call_back(self, path: str, body: Mapping[str, object]) -> str:
        """Queue a callback to the bridge; return its REQUEST-ID."""
        request_id = str(uuid.uuid4())
        self.callbacks[request_id] = path
        headers = {
            "Content-Type": "application/json",
            "REQUEST-ID": request_id,
            "TIMESTAMP": stamp(self.clock()),
            "X-HIP-ID": self.config.hip_id,
        }
        token = self._callback_token()
        if token:
            headers["Authorization"] = f"Bearer {token}"
        url = self.bridge_url.rstrip("/") + path
        self.sender.queue(path.removeprefix("/api/v3/"), json.dumps(body).encode(), headers, url=url)
        return request_id

    def _callback_token(self) -> str:
        quirk = "wrong_key" if self.behaviour.webhooks_tampered else self.quirks.callback_token
        if quirk == "missing":
            return ""
        now = self.clock()
        claims = {
            "iss": "https://gateway.sim/realms/central-registry",
            "aud": "other" if quirk == "wrong_audience" else "account",
            "iat": now,
            "exp": now + (timedelta(hours=-1) if quirk == "expired" else timedelta(minutes=10)),
            "jti": uuid.uuid4().hex,
        }
        key_id, (_, key) = next(iter(self._keys.items()))
        if quirk == "unsigned":
            return jwt.encode(claims, "", algorithm="none", headers={"kid": key_id})
        if quirk == "wrong_key":
            self._stranger = self._stranger or _new_key()
            key = self._stranger
        return jwt.encode(claims, key, algorithm="RS256", headers={"kid": key_id})


def stamp(moment: datetime) -> str:
    """Return a time stamp as the gateway writes it."""
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _new_key() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


def _fresh_keys() -> dict[str, tuple[str, rsa.RSAPrivateKey]]:
    return {f"sim-{uuid.uuid4().hex[:8]}": (algorithm, _new_key()) for algorithm in ("RS256", "RS512")}


@functools.cache
def _first_keys() -> dict[str, tuple[str, rsa.RSAPrivateKey]]:
    """Return the keys every simulator of this process starts with: making some takes a good part of a second."""
    return _fresh_keys()
