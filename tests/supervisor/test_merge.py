from __future__ import annotations

import pytest
from hypothesis import given, strategies as st
from prometheus_client import CollectorRegistry

from sidecar.supervisor.exposition import CAPS, family_of
from sidecar.supervisor.family import Family
from sidecar.supervisor.merge import GAUGES, Cap, Ledger, merge
from sidecar.telemetry.capped import OTHER, PEERS
from sidecar.telemetry.labels import Direction, Verdict
from sidecar.telemetry.metrics import Metrics


def family(kind: str, name: str = "a", **series: float) -> Family:
    return Family(
        name, kind, "help", {(name, (("of", of),)): n for of, n in series.items()}
    )


def values(families: tuple[Family, ...]) -> dict[str, dict[str, float]]:
    return {
        each.name: {labels[0][1]: value for (_, labels), value in each.items()}
        for each in families
    }


@pytest.mark.parametrize(
    ("name", "kind", "expected"),
    [
        ("a", "counter", {"x": 5, "y": 2, "z": 3}),
        ("a", "histogram", {"x": 5, "y": 2, "z": 3}),
        ("a", "gauge", {"x": 5, "y": 2, "z": 3}),
        ("sidecar_connections_open", "gauge", {"x": 5, "y": 2, "z": 3}),
        ("sidecar_generation", "gauge", {"x": 1, "y": 2, "z": 3}),
        ("sidecar_build_info", "gauge", {"x": 4, "y": 2, "z": 3}),
    ],
)
def test_what_counts_is_added_and_what_is_is_the_worst(
    name: str, kind: str, expected: dict[str, float]
) -> None:
    one, other = family(kind, name, x=1, y=2), family(kind, name, x=4, z=3)
    assert values(merge([[one], [other]])) == {name: expected}


def test_metrics_come_in_the_order_of_the_first_that_has_them() -> None:
    snapshots = [["b", "a"], ["a", "c"], []]
    merged = merge([[family("gauge", n) for n in names] for names in snapshots])
    assert [each.name for each in merged] == ["b", "a", "c"]


def test_every_gauge_that_a_process_has_is_decided_on() -> None:
    metrics = Metrics(CollectorRegistry())
    gauges = {each.name for each in metrics.families() if each.type == "gauge"}
    assert gauges <= GAUGES.keys()


def test_what_a_dead_worker_had_counted_stays_and_what_it_had_open_does_not() -> None:
    ledger = Ledger({})
    for slot in (1, 2):
        ledger.enter(slot, [family("counter", "c", x=3), family("gauge", "g", x=3)])
    ledger.bury(1)
    ledger.bury(7)
    assert values(ledger.total()) == {"c": {"x": 6}, "g": {"x": 3}}
    ledger.enter(1, [family("counter", "c", x=1)])
    assert values(ledger.total([family("counter", "c", x=10)])) == {
        "c": {"x": 17},
        "g": {"x": 3},
    }


STEPS = st.lists(
    st.tuples(
        st.integers(1, 3),
        st.none() | st.dictionaries(st.sampled_from("xyz"), st.integers(0, 9)),
    )
)


@given(STEPS)
def test_no_counter_ever_goes_backwards(
    steps: list[tuple[int, dict[str, int] | None]],
) -> None:
    """Workers count, report, and die; None is a death."""
    ledger = Ledger({"a": Cap("of", 2)})
    counts: dict[int, dict[str, float]] = {}
    everything = 0.0
    before: dict[str, float] = {}
    for slot, step in steps:
        if step is None:
            ledger.bury(slot)
            counts.pop(slot, None)
        else:
            mine = counts.setdefault(slot, {})
            for of, more in step.items():
                mine[of] = mine.get(of, 0) + more
                everything += more
            ledger.enter(slot, [family("counter", "a", **mine)])
        now = values(ledger.total()).get("a", {})
        assert {of for of in before if now[of] < before[of]} == set()
        assert sum(now.values()) == everything
        before = now
    assert len(before.keys() - {OTHER}) <= 2


def test_together_they_have_no_more_peers_than_one_may_have() -> None:
    ledger = Ledger(CAPS)
    for slot in (1, 2):
        metrics = Metrics(CollectorRegistry())
        for number in range(PEERS):
            name = f"spiffe://example.org/{slot}/{number}"
            metrics.peer_connected(Direction.INBOUND, name, Verdict.ALLOW)
            metrics.plaintext_connection(Direction.INBOUND, number)
            metrics.plaintext_connection(Direction.OUTBOUND, number)
            metrics.declare_rules([f"rule-{slot}-{number}"])
        ledger.enter(slot, map(family_of, metrics.families()))
    found = {each.name: dict(each.items()) for each in ledger.total()}

    def labels(name: str, label: str) -> set[str]:
        return {dict(key[1])[label] for key in found[name]}

    peers = found["sidecar_peer_connections"]
    assert len(labels("sidecar_peer_connections", "peer")) == PEERS + 1
    assert sum(peers.values()) == 2 * PEERS
    assert len(labels("sidecar_policy_decisions", "rule")) == 202
    ports = {
        (dict(key[1])["direction"], dict(key[1])["port"])
        for key in found["sidecar_plaintext_connections"]
    }
    assert len(ports) == 2 * 65
