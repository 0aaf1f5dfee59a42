"""Proving who calls: passwords (argon2id), short-lived access tokens (JWT) and rotating refresh tokens.

An access token says only who the caller is; roles are read from the database on every request, so that taking a role
away or disabling a user works at once.

Source: OWASP Password Storage Cheat Sheet, argon2id m=19 MiB t=2 p=1; RFC 9700, 4.14 (refresh token rotation with
revocation of the family on reuse); RFC 7519, 4.1 (iss, aud, exp, sub), specs.
"""

from __future__ import annotations

import asyncio
import hashlib
import ipaddress
import secrets
from dataclasses import dataclass, field
from uuid import UUID

import jwt
from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerifyMismatchError

from api.config import ApiConfig
from api.errors import TooManyRequestsError, UnauthenticatedError
from domain.clock import utc_now
from domain.errors import RuleError
from domain.ids import new_id
from store import audit, users
from store.session import Database

ALGORITHM = "HS256"
MIN_PASSWORD_CHARS = 12
MAX_PASSWORD_CHARS = 128
_COMMON = frozenset({"password", "labsetu", "laboratory", "qwerty", "welcome", "admin", "123456"})
_SAME_NETWORK = {4: 24, 6: 64}


class Passwords:
    """Hashes and checks passwords off the event loop, two at a time: each takes 19 MiB and about 30 ms of a core."""

    def __init__(self) -> None:
        self._hasher = PasswordHasher(time_cost=2, memory_cost=19_456, parallelism=1)
        self._turns = asyncio.Semaphore(2)
        self._nobody = self._hasher.hash(secrets.token_urlsafe(16))

    async def hashed(self, password: str) -> str:
        """Return the hash of a new password.

        Raises:
            RuleError: It is too short, too long or easily guessed.
        """
        if not MIN_PASSWORD_CHARS <= len(password) <= MAX_PASSWORD_CHARS or _is_guessable(password):
            raise RuleError(
                f"a password has {MIN_PASSWORD_CHARS} to {MAX_PASSWORD_CHARS} characters and no well-known word alone",
                code="PASSWORD_WEAK",
                action="Choose a longer sentence that only you know.",
            )
        async with self._turns:
            return await asyncio.to_thread(self._hasher.hash, password)

    async def match(self, password_hash: str | None, password: str) -> bool:
        """Tell whether the password fits; None (nobody has that name) takes the same time and never fits."""
        async with self._turns:
            return await asyncio.to_thread(self._verify, password_hash or self._nobody, password) and bool(
                password_hash
            )

    def _verify(self, password_hash: str, password: str) -> bool:
        try:
            return self._hasher.verify(password_hash, password)
        except (VerifyMismatchError, InvalidHashError):
            return False


def _is_guessable(password: str) -> bool:
    letters = "".join(character for character in password.lower() if character.isalnum())
    return letters.strip("0123456789") in {*_COMMON, ""} or len(set(letters)) <= 3  # noqa: PLR2004  aaaa, abab


@dataclass(frozen=True)
class TokenPair:
    """What a client gets for signing in."""

    access_token: str = field(repr=False)
    refresh_token: str = field(repr=False)
    expires_in_s: int


class AccessTokens:
    """Issues and reads access tokens; keys are found by the token's `kid`."""

    def __init__(self, config: ApiConfig) -> None:
        secrets_in_order = [secret.get_secret_value() for secret in config.jwt_secrets]
        self._keys = {_key_id(secret): secret for secret in secrets_in_order}
        self._active = _key_id(secrets_in_order[0])
        self._config = config

    def issue(self, user_id: UUID) -> str:
        """Return a token for a user."""
        now = utc_now()
        claims = {
            "iss": self._config.jwt_issuer,
            "aud": self._config.jwt_audience,
            "sub": str(user_id),
            "iat": now,
            "exp": now + self._config.access_life,
            "jti": str(new_id()),
        }
        return jwt.encode(claims, self._keys[self._active], algorithm=ALGORITHM, headers={"kid": self._active})

    def user_of(self, token: str) -> UUID:
        """Return whose token it is.

        Raises:
            UnauthenticatedError: Not ours, expired, or for somebody else.
        """
        try:
            key = self._keys[str(jwt.get_unverified_header(token).get("kid", ""))]
            claims = jwt.decode(
                token,
                key,
                algorithms=[ALGORITHM],
                issuer=self._config.jwt_issuer,
                audience=self._config.jwt_audience,
                options={"require": ["exp", "iat", "iss", "aud", "sub"]},
            )
            return UUID(str(claims["sub"]))
        except jwt.ExpiredSignatureError as error:
            raise UnauthenticatedError("the access token has expired", code="TOKEN_EXPIRED") from error
        except (jwt.InvalidTokenError, KeyError, ValueError) as error:
            raise UnauthenticatedError("the access token is not valid", code="TOKEN_INVALID") from error


def _key_id(secret: str) -> str:
    return hashlib.sha256(b"labsetu jwt key id\x00" + secret.encode()).hexdigest()[:12]


@dataclass(frozen=True)
class Authenticator:
    """Signs staff in and out."""

    database: Database
    config: ApiConfig
    passwords: Passwords
    tokens: AccessTokens

    async def sign_in(self, username: str, password: str, address: str) -> TokenPair:
        """Check a password and open a session.

        Args:
            username: As typed.
            password: As typed.
            address: The client's IP address, for the rate limit.

        Raises:
            TooManyRequestsError: Too many attempts for this name or from this network.
            UnauthenticatedError: Unknown name, wrong password or disabled user; the answer does not tell which.
        """
        name = username.strip().lower()
        turn = f"login:user:{hashlib.sha256(name.encode()).hexdigest()[:32]}"
        login = await self._login_if_allowed(name, turn, address)
        fits = await self.passwords.match(login.password_hash if login else None, password)
        if login is None or not fits or login.is_disabled:
            raise UnauthenticatedError(
                "the user name or the password is wrong", code="LOGIN_REFUSED", action="Check both and try again."
            )
        refresh = secrets.token_urlsafe(32)
        async with self.database.transaction(branches=()) as session:
            await users.forgive(session, turn)
            await users.add_refresh_token(
                session, user_id=login.user_id, token=refresh, expires_at=utc_now() + self.config.refresh_life
            )
            await audit.record(
                session, chain="lab", actor=name, action="session.opened", object_kind="user",
                object_id=str(login.user_id),
            )  # fmt: skip
        return self._pair(login.user_id, refresh)

    async def _login_if_allowed(self, name: str, turn: str, address: str) -> users.Login | None:
        limits = self.config
        async with self.database.transaction(branches=()) as session:
            network_may = await users.take_turn(
                session, f"login:net:{_network(address)}", every_s=limits.address_every_s, burst=limits.address_burst
            )
            user_may = await users.take_turn(session, turn, every_s=limits.login_every_s, burst=limits.login_burst)
            login = await users.login_of(session, name)
        if not (network_may and user_may):
            wait = limits.login_every_s if not user_may else limits.address_every_s
            raise TooManyRequestsError("too many attempts to sign in", retry_after_s=max(1, round(wait)))
        return login

    async def refresh(self, token: str) -> TokenPair:
        """Exchange a refresh token for a new pair; the old one is used up.

        Raises:
            UnauthenticatedError: Unknown, expired, revoked or used before; the last revokes the whole family.
        """
        fresh = secrets.token_urlsafe(32)
        async with self.database.transaction(branches=()) as session:
            used = await users.use_refresh_token(session, token)
            member = await users.staff_member(session, used.user_id) if used else None
            is_good = used is not None and member is not None and not member.is_disabled
            if used and is_good:
                await users.add_refresh_token(
                    session, user_id=used.user_id, token=fresh, expires_at=used.expires_at, family_id=used.family_id
                )
        # raised after the commit: the revocation of the family must stand
        if used is None or not is_good:
            raise UnauthenticatedError("the refresh token is not valid", code="REFRESH_REFUSED")
        return self._pair(used.user_id, fresh)

    async def sign_out(self, token: str) -> None:
        """Revoke a refresh token with its family; an unknown one is no error."""
        async with self.database.transaction(branches=()) as session:
            await users.revoke_family(session, token)

    def _pair(self, user_id: UUID, refresh: str) -> TokenPair:
        return TokenPair(self.tokens.issue(user_id), refresh, int(self.config.access_life.total_seconds()))


def _network(address: str) -> str:
    """Return the network an address belongs to: one person can change addresses within it at will."""
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return "unknown"
    return str(ipaddress.ip_network((parsed, _SAME_NETWORK[parsed.version]), strict=False))
