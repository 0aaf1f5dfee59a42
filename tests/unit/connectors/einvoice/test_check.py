import pytest

from connectors.einvoice.check import check_connection
from tests.contract.einvoice.documents import LAB
from tests.contract.einvoice.portal import BOTH, bench


@BOTH
async def test_all_is_well(dialect):
    async with bench(dialect) as made:
        good = await check_connection(made.connector, now=made.clock.now)
        assert (good.name, good.ok, good.action) == ("einvoice", True, "")


@pytest.mark.parametrize(
    ("dialect", "wrong"),
    [
        # Adaequare sees the taxpayer's own password with the first real call only
        ("nic", {"password": "nope"}),
        ("nic", {"client_secret": "nope"}),
        ("adaequare", {"client_secret": "nope"}),
    ],
)
async def test_refused_credentials_are_explained(dialect, wrong):
    async with bench(dialect, **wrong) as made:
        result = await check_connection(made.connector)
        assert not result.ok
        assert "credentials" in result.what
        assert result.action


@BOTH
async def test_missing_signing_key_is_found_before_the_first_invoice(dialect):
    async with bench(dialect, signing_keys={}) as made:
        result = await check_connection(made.connector, now=made.clock.now)
        assert not result.ok
        assert "signing key" in result.what


@BOTH
async def test_portal_down_is_said(dialect):
    async with bench(dialect) as made:
        made.behaviour.down = True
        assert not (await check_connection(made.connector)).ok


@BOTH
async def test_mistyped_gstin_is_found_without_asking(dialect):
    wrong = LAB.gstin[:-1] + ("A" if LAB.gstin[-1] != "A" else "B")
    async with bench(dialect, gstin=wrong) as made:
        assert "check digit" in (await check_connection(made.connector)).what
        assert (await made.client.get("/_sim/state")).json()["calls"] == {}
