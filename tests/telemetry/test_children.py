from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter

from sidecar.telemetry.capped import OTHER
from sidecar.telemetry.children import Children


def calls() -> tuple[CollectorRegistry, Children[tuple[str, int]]]:
    registry = CollectorRegistry()
    counter = Counter("calls", "Calls.", ["who", "port"], registry=registry)
    known = {"alice", "bob"}
    return registry, Children(
        counter, lambda who, port: (who if who in known else OTHER, str(port))
    )


def test_a_child_is_looked_up_once_and_kept() -> None:
    registry, children = calls()
    children["alice", 80].inc()
    assert children["alice", 80] is children["alice", 80]
    children["alice", 80].inc()
    labels = {"who": "alice", "port": "80"}
    assert registry.get_sample_value("calls_total", labels) == 2


def test_what_is_shown_is_zero() -> None:
    registry, children = calls()
    children.show(("bob", 443))
    labels = {"who": "bob", "port": "443"}
    assert registry.get_sample_value("calls_total", labels) == 0


def test_those_that_share_a_label_do_not_fill_the_table() -> None:
    registry, children = calls()
    for number in range(100):
        children[f"stranger-{number}", 80].inc()
    assert len(children) == 0
    labels = {"who": OTHER, "port": "80"}
    assert registry.get_sample_value("calls_total", labels) == 100
