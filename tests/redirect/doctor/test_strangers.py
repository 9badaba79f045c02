from __future__ import annotations

from pathlib import Path

from attrs import evolve

from sidecar.config.model import Config, Endpoint, Identity, Listener, UnixSocket
from sidecar.redirect.doctor.strangers import is_redirected, own_ports, strangers
from tests.redirect.doctor.pods import CONFIG, SOCKETS, listener

FIXED = Listener(Endpoint("0.0.0.0", 8443), Endpoint("127.0.0.1", 8080))


def test_the_ports_of_the_sidecar_are_those_that_it_is_told() -> None:
    assert own_ports(CONFIG) == {15000, 15001, 15006, 15020}
    inbound = evolve(CONFIG.inbound, listeners=(FIXED,))
    unix = UnixSocket(Path("/run/admin.sock"))
    config = evolve(CONFIG, inbound=inbound, admin=unix)
    assert own_ports(config) == {8443, 15001, 15020}


def test_who_has_the_user_and_another_port_is_a_stranger() -> None:
    stranger, other = listener("::", 3306), listener("::", 3307, uid=1000)
    ports = own_ports(CONFIG)
    assert strangers((*SOCKETS, stranger, other), 1337, ports) == (stranger,)


def test_where_the_kernel_chose_a_port_nobody_is_told_apart() -> None:
    assert strangers([listener("::", 3306)], 1337, {0, 15001}) == ()


def test_fixed_destinations_need_no_rules() -> None:
    assert is_redirected(CONFIG)
    assert not is_redirected(Config(Identity()))
    fixed = evolve(CONFIG.inbound, listeners=(FIXED,))
    assert not is_redirected(Config(Identity(), inbound=fixed))
