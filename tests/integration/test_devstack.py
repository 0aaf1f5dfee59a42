"""The servers of the dev stack are real and do what we count on."""

import asyncpg
import pytest
from temporalio.client import Client

from devstack.objectstore import ObjectStore
from devstack.postgres import PostgresServer
from devstack.temporal import TemporalServer


async def test_the_app_role_is_bound_by_row_security_and_time_limits(postgres_server: PostgresServer):
    connection = await asyncpg.connect(postgres_server.app_url().replace("+asyncpg", ""))
    try:
        role = await connection.fetchrow(
            "SELECT rolsuper, rolbypassrls, rolcreatedb FROM pg_roles WHERE rolname = user"
        )
        assert tuple(role) == (False, False, False)
        assert await connection.fetchval("SHOW statement_timeout") == "5s"
        assert await connection.fetchval("SHOW data_checksums") == "on"
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await connection.execute("CREATE TABLE public.mine (x int)")
    finally:
        await connection.close()


async def test_the_namespace_has_our_search_attributes(temporal_server: TemporalServer):
    client = await Client.connect(temporal_server.address, namespace=temporal_server.namespace)
    assert await client.service_client.check_health()
    counted = await client.count_workflows("LabOrderNo = 'X' AND LabAttention = 'partner_offline'")
    assert counted.count == 0


def test_the_object_store_answers(object_store: ObjectStore):
    assert object_store.endpoint.startswith("127.0.0.1:")
