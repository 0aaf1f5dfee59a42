"""Signing in, refreshing, being shut out."""

import asyncio
from datetime import timedelta

import jwt
import pytest
from pydantic import SecretStr

from api.auth import AccessTokens
from domain.clock import utc_now
from tests.fixtures.database import password_of
from tests.fixtures.running_api import CONFIG


async def _sign_in(api, username="technician", password=None):
    body = {"username": username, "password": password or password_of(username)}
    return await api.client.post("/v1/auth/token", json=body)


async def _fresh(api, username="technician"):
    await api.execute("delete from rate_limits")
    answer = await _sign_in(api, username)
    assert answer.status_code == 200, answer.text
    return answer.json()


async def test_a_password_opens_a_session_and_the_token_says_who(api):
    tokens = await _fresh(api)
    assert tokens["token_type"] == "bearer"
    assert tokens["expires_in"] == 900
    me = await api.client.get("/v1/auth/me", headers={"Authorization": f"Bearer {tokens['access_token']}"})
    assert me.json()["username"] == "technician"
    assert me.json()["roles"][0]["branch"] == "DEL"
    assert "result.verify" in me.json()["roles"][0]["permissions"]


@pytest.mark.parametrize(("username", "password"), [("technician", "wrong"), ("nobody", "wrong"), ("nobody\x00", "x")])
async def test_wrong_name_and_wrong_password_are_answered_alike(api, username, password):
    await api.execute("delete from rate_limits")
    answer = await _sign_in(api, username.replace("\x00", ""), password)
    assert answer.status_code == 401
    assert answer.json()["code"] == "LOGIN_REFUSED"
    assert answer.json()["detail"] == "the user name or the password is wrong"
    assert answer.headers["WWW-Authenticate"] == "Bearer"


async def test_a_refresh_token_works_once_and_its_reuse_ends_the_session(api):
    first = await _fresh(api)
    second = await api.client.post("/v1/auth/refresh", json={"refresh_token": first["refresh_token"]})
    assert second.status_code == 200
    again = await api.client.post("/v1/auth/refresh", json={"refresh_token": first["refresh_token"]})
    assert again.status_code == 401
    assert again.json()["code"] == "REFRESH_REFUSED"
    # the thief's token and the owner's newest one are both dead now
    owner = await api.client.post("/v1/auth/refresh", json={"refresh_token": second.json()["refresh_token"]})
    assert owner.status_code == 401


async def test_of_two_refreshes_at_once_one_wins(api):
    tokens = await _fresh(api)
    body = {"refresh_token": tokens["refresh_token"]}
    answers = await asyncio.gather(*(api.client.post("/v1/auth/refresh", json=body) for _ in range(4)))
    assert sorted(answer.status_code for answer in answers) == [200, 401, 401, 401]


async def test_rotation_does_not_prolong_a_session(api):
    tokens = await _fresh(api)
    await api.execute("update refresh_tokens set expires_at = now() - interval '1 second'")
    answer = await api.client.post("/v1/auth/refresh", json={"refresh_token": tokens["refresh_token"]})
    assert answer.status_code == 401


async def test_signing_out_ends_the_session(api):
    tokens = await _fresh(api)
    body = {"refresh_token": tokens["refresh_token"]}
    assert (await api.client.post("/v1/auth/logout", json=body)).status_code == 204
    assert (await api.client.post("/v1/auth/logout", json=body)).status_code == 204
    assert (await api.client.post("/v1/auth/refresh", json=body)).status_code == 401


async def test_five_attempts_then_one_a_minute(api):
    await api.execute("delete from rate_limits")
    answers = [await _sign_in(api, "billing", "wrong wrong wrong") for _ in range(6)]
    assert [answer.status_code for answer in answers] == [401] * 5 + [429]
    assert answers[-1].headers["Retry-After"] == "60"
    assert answers[-1].json()["code"] == "TOO_MANY_REQUESTS"
    assert (await _sign_in(api, "billing")).status_code == 429, "the right password does not help now"
    assert (await _sign_in(api, "auditor")).status_code == 200, "others are not locked out"


async def test_concurrent_attempts_are_counted_exactly(api):
    await api.execute("delete from rate_limits")
    answers = await asyncio.gather(*(_sign_in(api, "admin", "wrong wrong wrong") for _ in range(12)))
    assert sorted(answer.status_code for answer in answers) == [401] * 5 + [429] * 7
    await api.execute("delete from rate_limits")


async def test_disabling_a_user_works_at_once(api):
    tokens = await _fresh(api, "blr_front_desk")
    headers = {"Authorization": f"Bearer {tokens['access_token']}"}
    assert (await api.client.get("/v1/auth/me", headers=headers)).status_code == 200
    changed = await api.staff_as("admin").post("/v1/users/blr_front_desk", {"is_disabled": True})
    assert changed.json()["is_disabled"] is True
    assert (await api.client.get("/v1/auth/me", headers=headers)).status_code == 401
    refreshed = await api.client.post("/v1/auth/refresh", json={"refresh_token": tokens["refresh_token"]})
    assert refreshed.status_code == 401
    assert (await _sign_in(api, "blr_front_desk")).status_code == 401
    await api.staff_as("admin").post("/v1/users/blr_front_desk", {"is_disabled": False})


def _forged(user_id, **changes):
    now = utc_now()
    claims = {
        "iss": "labsetu", "aud": "labsetu-api", "sub": str(user_id), "iat": now,
        "exp": now + timedelta(minutes=5), **changes,
    }  # fmt: skip
    return {key: value for key, value in claims.items() if value is not None}


@pytest.mark.parametrize(
    "changes",
    [
        {"exp": 1}, {"exp": None}, {"aud": "somebody else"}, {"aud": None}, {"iss": "somebody else"}, {"iss": None},
        {"sub": None}, {"sub": "not an id"}, {"sub": "00000000-0000-7000-8000-000000000000"},
    ],
)  # fmt: skip
async def test_a_token_with_a_wrong_or_missing_claim_is_refused(api, changes):
    secret = CONFIG.jwt_secrets[0].get_secret_value()
    kid = jwt.get_unverified_header(api.tokens.issue(api.lab.users["technician"]))["kid"]
    token = jwt.encode(_forged(api.lab.users["technician"], **changes), secret, "HS256", headers={"kid": kid})
    answer = await api.client.get("/v1/auth/me", headers={"Authorization": f"Bearer {token}"})
    assert answer.status_code == 401


@pytest.mark.parametrize("given", ["", "Bearer", "Bearer x", "Basic eDp5", "Bearer a.b.c", "Bearer " + "x" * 5000])
async def test_nonsense_instead_of_a_token_is_refused(api, given):
    answer = await api.client.get("/v1/auth/me", headers={"Authorization": given})
    assert answer.status_code == 401
    assert answer.json()["code"] in {"NOT_AUTHENTICATED", "TOKEN_INVALID"}


async def test_an_unsigned_token_is_refused(api):
    kid = jwt.get_unverified_header(api.tokens.issue(api.lab.users["technician"]))["kid"]
    token = jwt.encode(_forged(api.lab.users["technician"]), None, "none", headers={"kid": kid})
    answer = await api.client.get("/v1/auth/me", headers={"Authorization": f"Bearer {token}"})
    assert answer.status_code == 401


async def test_a_secret_being_replaced_still_verifies(api):
    second = CONFIG.model_copy(update={"jwt_secrets": CONFIG.jwt_secrets[1:]})
    token = AccessTokens(second).issue(api.lab.users["technician"])
    headers = {"Authorization": f"Bearer {token}"}
    assert (await api.client.get("/v1/auth/me", headers=headers)).status_code == 200
    unknown = CONFIG.model_copy(update={"jwt_secrets": (SecretStr("a secret that nobody here knows, 32b"),)})
    headers = {"Authorization": f"Bearer {AccessTokens(unknown).issue(api.lab.users['technician'])}"}
    assert (await api.client.get("/v1/auth/me", headers=headers)).status_code == 401


async def test_passwords_and_tokens_are_not_stored_in_clear(api):
    tokens = await _fresh(api)
    rows = await api.execute("select token_hash from refresh_tokens")
    assert all(tokens["refresh_token"] not in row.token_hash for row in rows)
    hashes = await api.execute("select password_hash from users")
    assert all(row.password_hash.startswith("$argon2id$v=19$m=19456,t=2,p=1$") for row in hashes)
