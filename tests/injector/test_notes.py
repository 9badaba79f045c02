from __future__ import annotations

from typing import Any

import pytest
from attrs import evolve

from sidecar.injector.model import (
    InjectionContext,
    InjectionSettings,
    NativeSidecar,
    RedirectSettings,
)
from sidecar.injector.notes import notes_on
from sidecar.injector.pod import read_pod

SETTINGS = InjectionSettings("x")
NATIVE = evolve(SETTINGS, native_sidecar=NativeSidecar.ALWAYS)
KEPT = evolve(NATIVE, rewrite_probes=False)
UNREDIRECTED = evolve(SETTINGS, redirect=RedirectSettings(enabled=False))
TPROXY = {"inbound_mode": "tproxy"}
PROBED = [{"name": "web", "livenessProbe": {"tcpSocket": {"port": 1}}}]
RESTRICTED = InjectionContext(
    "shop", {"pod-security.kubernetes.io/enforce": "restricted"}
)
PRIVILEGED = InjectionContext(
    "shop", {"pod-security.kubernetes.io/enforce": "privileged"}
)
ANY = InjectionContext()


def notes(
    spec: dict[str, Any],
    context: InjectionContext,
    settings: InjectionSettings,
    annotations: dict[str, str],
) -> list[str]:
    pod = read_pod(
        {
            "metadata": {"annotations": annotations},
            "spec": {"containers": [{"name": "web"}], **spec},
        }
    )
    return [*notes_on(pod, context, settings)]


@pytest.mark.parametrize(
    ("spec", "context", "settings", "annotations", "what"),
    [
        (
            {},
            RESTRICTED,
            NATIVE,
            {},
            "enforces Pod Security 'restricted', which refuses",
        ),
        (
            {},
            PRIVILEGED,
            evolve(NATIVE, redirect=RedirectSettings(options=TPROXY)),
            {},
            "`transparent: true`: see that the ConfigMap sidecar says so",
        ),
        ({}, ANY, NATIVE, {"prometheus.io/port": "80"}, "prometheus.io/port: the appl"),
        ({"restartPolicy": "Never"}, ANY, SETTINGS, {}, "POST /quitquitquit"),
        (
            {"initContainers": [{"name": "x"}]},
            ANY,
            SETTINGS,
            {},
            "run before the sidecar",
        ),
        ({"containers": PROBED}, ANY, KEPT, {}, "probes are left as they are"),
        (
            {"terminationGracePeriodSeconds": 5},
            ANY,
            NATIVE,
            {},
            "terminationGracePeriodSeconds: 5 s end before the sidecar has drained",
        ),
        (
            {"resources": {"requests": {"cpu": "1"}}},
            ANY,
            NATIVE,
            {},
            "spec.resources: what the pod as a whole asks for has to hold",
        ),
        ({}, ANY, evolve(NATIVE, drain_seconds=31), {}, "which may take 31 s"),
    ],
)
def test_what_somebody_should_know_is_said(
    spec: dict[str, Any],
    context: InjectionContext,
    settings: InjectionSettings,
    annotations: dict[str, str],
    what: str,
) -> None:
    (note,) = notes(spec, context, settings, annotations)
    assert what in note


@pytest.mark.parametrize(
    ("spec", "context", "settings", "annotations"),
    [
        ({}, ANY, SETTINGS, {}),
        ({}, PRIVILEGED, SETTINGS, {}),
        (
            {"restartPolicy": "Never", "initContainers": [{"name": "x"}]},
            ANY,
            NATIVE,
            {},
        ),
        ({"containers": PROBED}, ANY, NATIVE, {}),
        ({}, ANY, KEPT, {}),
        ({"initContainers": [{"name": "x"}]}, RESTRICTED, UNREDIRECTED, {}),
        (
            {},
            ANY,
            evolve(NATIVE, prometheus_annotations=False),
            {"prometheus.io/port": "80"},
        ),
    ],
)
def test_there_is_nothing_to_say_where_nothing_is_left_or_needed(
    spec: dict[str, Any],
    context: InjectionContext,
    settings: InjectionSettings,
    annotations: dict[str, str],
) -> None:
    assert notes(spec, context, settings, annotations) == []


def test_without_an_init_container_tproxy_needs_the_namespace_to_allow_it() -> None:
    tproxy = RedirectSettings(enabled=False, options=TPROXY)
    settings = evolve(NATIVE, redirect=tproxy)
    _, level = notes({}, RESTRICTED, settings, {})
    assert level == (
        "the namespace shop enforces Pod Security 'restricted', which refuses NET_RAW:"
        " label it privileged, or leave tproxy"
    )
    assert len(notes({}, PRIVILEGED, settings, {})) == 1
