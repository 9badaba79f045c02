from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from sidecar.config.app_probes import AppProbe, TcpProbe, parse_app_probes
from sidecar.injector.edits import Edits
from sidecar.injector.pod import read_pod
from sidecar.injector.rewrites import put, rewrites_in, told, too_much_to_keep

if TYPE_CHECKING:
    from sidecar.injector.probes import Rewrite


def pod(**probes: Any) -> dict[str, Any]:
    containers = [
        {"name": name, "livenessProbe": {"tcpSocket": {"port": port}}}
        for name, port in probes.items()
    ]
    return {"spec": {"containers": containers}}


def found_in(raw: dict[str, Any], problems: list[str] | None = None) -> list[Rewrite]:
    read = read_pod(raw)
    return rewrites_in(read, read.containers, [] if problems is None else problems)


@pytest.mark.parametrize(
    ("grace", "seconds"), [(None, 30), (10, 30), (120, 120), (10**6, 86_400), (-1, 30)]
)
def test_a_hook_may_take_as_long_as_kubernetes_lets_it(
    grace: int | None, seconds: int
) -> None:
    """Of a postStart Kubernetes says nothing."""
    hook = {"httpGet": {"port": 1}}
    container = {"name": "a", "lifecycle": {"preStop": hook, "postStart": hook}}
    spec = {"terminationGracePeriodSeconds": grace, "containers": [container]}
    found = found_in({"spec": spec})
    assert {each.asked: each.probe.timeout_seconds for each in found} == {
        "/app-health/a/poststartz": 600,
        "/app-health/a/prestopz": seconds,
    }


def test_every_probe_is_found_and_every_one_that_cannot_work_said() -> None:
    problems: list[str] = []
    found = found_in(pod(a=1, b="x", c=3, d="y"), problems)
    assert [each.asked for each in found] == [
        "/app-health/a/livez",
        "/app-health/c/livez",
    ]
    assert [problem.partition(":")[0] for problem in problems] == [
        "spec.containers[b].livenessProbe.tcpSocket.port",
        "spec.containers[d].livenessProbe.tcpSocket.port",
    ]


def test_the_sidecar_is_told_beside_what_it_knows() -> None:
    rewrites = found_in(pod(a=1))
    before = {
        "/app-health/a/livez": AppProbe(TcpProbe(9)),
        "/app-health/b/livez": AppProbe(TcpProbe(2)),
    }
    assert parse_app_probes(told(rewrites, [], before)) == {
        "/app-health/a/livez": AppProbe(TcpProbe(1)),
        "/app-health/b/livez": AppProbe(TcpProbe(2)),
    }
    assert told([], []) == ""


def test_what_is_too_much_for_a_variable_is_said_with_the_remedy() -> None:
    many = {f"c{number}": 8080 for number in range(3000)}
    rewrites = found_in(pod(**many))
    problems: list[str] = []
    told(rewrites[:1000], problems)
    assert not problems
    told(rewrites, problems)
    (problem,) = problems
    assert "a process takes a variable of 131000 bytes" in problem
    assert "set the annotation sidecar.mesh/rewrite-probes: disabled" in problem


def test_handlers_are_turned_and_what_was_there_is_given() -> None:
    raw = pod(a=1)
    edits = Edits(raw)
    handlers = put(edits, found_in(raw))
    assert handlers == {"containers/a/livenessProbe": {"tcpSocket": {"port": 1}}}
    (container,) = edits.pod["spec"]["containers"]
    assert container["livenessProbe"]["httpGet"]["port"] == 15020


def test_annotations_are_counted_in_bytes_with_their_names() -> None:
    def problem(text: str, before: str = "") -> str | None:
        pod = {"metadata": {"annotations": {"a": text, "b": ""}}}
        return too_much_to_keep({"a": before}, pod)

    assert problem("x" * (256 * 1024 - 2)) is None
    assert "are 262145: let them ask" in str(problem("x" * (256 * 1024 - 1)))
    assert problem("é" * 131_072) is not None
    assert problem("é" * 131_072, "x" * 262_144) is None
