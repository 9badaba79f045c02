"""Here it looks at the machine that runs the tests; tests/netns has pods for it."""

from __future__ import annotations

import os
from pathlib import Path

from attrs import evolve

from sidecar.config.model import Config, Endpoint, Identity, Outbound, Route
from sidecar.policy.model import Policy
from sidecar.redirect.call import listening
from sidecar.redirect.doctor.facts import Intent
from sidecar.redirect.gather import Wish, gather
from sidecar.redirect.options import parse_options
from tests.support.ports import free_port

# Captured is what nothing is sent to from here.
NOWHERE = parse_options(
    {
        "include_outbound_cidrs": "127.0.0.0/8,::1/128",
        "outbound_port": str(free_port()),
    },
    {},
).redirect
WISH = Wish(NOWHERE, (), None, "", 10, before_start=False)


def test_it_sees_itself() -> None:
    with listening("127.0.0.1", 0) as listener:
        assert listener is not None
        facts = gather(WISH)
        own = Endpoint(*listener.getsockname())
        assert own in [each.local for each in facts.sockets]
    assert os.getpid() in [each.pid for each in facts.processes]
    assert (facts.uid, facts.gid) == (os.geteuid(), os.getegid())


def test_of_a_process_that_it_may_not_ask_the_network_is_known() -> None:
    """As of those of root, by anybody; tests/netns has another network."""
    here, proc = gather(WISH).processes, Path("/proc")
    init = [each.pid for each in here if each.pid == 1]
    same = (proc / "1/net/dev").stat().st_ino == (proc / "self/net/dev").stat().st_ino
    assert init == ([1] if same else [])


def test_without_programs_or_permission_the_tables_are_unseen() -> None:
    facts = gather(WISH)
    assert facts.tables == ()
    assert facts.tables_unseen


def test_standing_in_needs_the_ports_only_meanwhile() -> None:
    facts = gather(evolve(WISH, before_start=True))
    assert facts.before_start
    assert NOWHERE.outbound_port not in [each.local.port for each in facts.sockets]
    with listening("127.0.0.1", NOWHERE.outbound_port) as listener:
        assert listener is not None


def test_names_of_routes_are_looked_up() -> None:
    route = Route("api", ("localhost",))
    config = Config(Identity(), outbound=Outbound(routes=(route,)))
    facts = gather(evolve(WISH, intent=Intent(config, Policy())))
    assert facts.addresses.keys() == {"localhost"}
