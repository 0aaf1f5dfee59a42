"""Ports: fixed, from a base, and who holds one that is taken."""

import os
import socket
from dataclasses import astuple

import pytest

from devstack.ports import LOOPBACK, Ports, StackError, owner_of, ports_from_environment, require_free


def test_no_two_programs_want_the_same_port():
    for ports in (Ports.planned(), Ports.planned(20000)):
        assert len(set(astuple(ports))) == len(astuple(ports))


def test_a_base_moves_everything():
    assert Ports.planned(20000).api == 20000
    assert max(astuple(Ports.planned(20000))) < 20040


@pytest.mark.parametrize("base", [1, 1023, 65535])
def test_a_base_without_room_is_refused(base: int):
    with pytest.raises(StackError):
        Ports.planned(base)


def test_the_environment_moves_all_or_single_ports(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("LABSETU_PORT_BASE", "21000")
    monkeypatch.setenv("LABSETU_API__PORT", "8099")
    ports = ports_from_environment()
    assert (ports.api, ports.postgres) == (8099, 21001)
    monkeypatch.setenv("LABSETU_PORT_BASE", "many")
    with pytest.raises(StackError, match="LABSETU_PORT_BASE='many'"):
        ports_from_environment()


def test_the_owner_of_a_taken_port_is_named():
    with socket.create_server((LOOPBACK, 0)) as server:
        port = server.getsockname()[1]
        owner = owner_of(port)
        assert owner is not None
        assert owner.pid == os.getpid()
        with pytest.raises(StackError) as caught:
            require_free(port, "PostgreSQL")
    assert f"pid {os.getpid()}" in caught.value.message
    assert "PostgreSQL" in caught.value.message
    assert "LABSETU_PORT_BASE" in caught.value.action
    assert owner_of(port) is None
    require_free(port, "PostgreSQL")


def test_a_listener_on_every_address_is_found_too():
    with socket.create_server(("", 0), family=socket.AF_INET6, dualstack_ipv6=True) as server:
        owner = owner_of(server.getsockname()[1])
        assert owner is not None
        assert owner.pid == os.getpid()


def test_free_ports_are_free():
    for port in astuple(Ports.free()):
        require_free(port, "a test")
