from __future__ import annotations

import pytest

from sidecar.config.model import LogLevel
from sidecar.injector.annotations import (
    AnnotationsError,
    parse_switch,
    with_annotations,
)
from sidecar.injector.model import (
    InjectionSettings,
    NativeSidecar,
    RedirectSettings,
    Resources,
)

SETTINGS = InjectionSettings(
    "x", redirect=RedirectSettings(options={"exclude_inbound_ports": "22"})
)


def problems(**annotations: str) -> list[str]:
    ours = {f"sidecar.mesh/{k.replace('_', '-')}": v for k, v in annotations.items()}
    with pytest.raises(AnnotationsError) as error:
        with_annotations(SETTINGS, ours, {})
    assert str(error.value) == "; ".join(error.value.problems)
    return list(error.value.problems)


def test_without_annotations_the_settings_are_those_of_the_mesh() -> None:
    others = {"prometheus.io/port": "x", "sidecar.mesh/inject": "x"}
    assert with_annotations(SETTINGS, others, {}) == SETTINGS


def test_every_annotation_changes_its_setting() -> None:
    settings = with_annotations(
        SETTINGS,
        {
            "sidecar.mesh/config": "shop-sidecar",
            "sidecar.mesh/log-level": "debug",
            "sidecar.mesh/native-sidecar": "always",
            "sidecar.mesh/hold-application": "false",
            "sidecar.mesh/rewrite-probes": " Disabled ",
            "sidecar.mesh/cpu-request": "100m",
            "sidecar.mesh/memory-request": "100Mi",
            "sidecar.mesh/cpu-limit": "1",
            "sidecar.mesh/memory-limit": "1Gi",
            "sidecar.mesh/include-inbound-ports": "80,8000-8010",
            "sidecar.mesh/exclude-inbound-ports": "",
            "sidecar.mesh/exclude-outbound-ports": "53",
            "sidecar.mesh/exclude-outbound-cidrs": "169.254.169.254/32",
            "sidecar.mesh/inbound-mode": " tproxy ",
        },
        {},
    )
    assert settings.config_map == "shop-sidecar"
    assert settings.log_level is LogLevel.DEBUG
    assert settings.native_sidecar is NativeSidecar.ALWAYS
    assert (settings.hold_application, settings.rewrite_probes) == (False, False)
    assert settings.resources == Resources("100m", "100Mi", "1", "1Gi")
    assert settings.redirect.options == {
        "include_inbound_ports": "80,8000-8010",
        "exclude_inbound_ports": "",
        "exclude_outbound_ports": "53",
        "exclude_outbound_cidrs": "169.254.169.254/32",
        "inbound_mode": "tproxy",
    }
    assert settings.redirect.tproxy


def test_a_pod_wins_over_its_namespace() -> None:
    settings = with_annotations(
        SETTINGS,
        {"sidecar.mesh/config": "of-pod"},
        {
            "sidecar.mesh/config": "of-namespace",
            "sidecar.mesh/log-level": "error",
            "sidecar.mesh/something": "of another version",
        },
    )
    assert (settings.config_map, settings.log_level) == ("of-pod", LogLevel.ERROR)


@pytest.mark.parametrize(
    ("text", "native"),
    [("auto", "auto"), ("true", "always"), ("disabled", "never"), ("never", "never")],
)
def test_native_is_a_switch_or_a_choice(text: str, native: str) -> None:
    annotations = {"sidecar.mesh/native-sidecar": text}
    assert with_annotations(SETTINGS, annotations, {}).native_sidecar == native


def test_everything_that_is_wrong_is_said_at_once() -> None:
    assert problems(
        exclude_inbound_port="80",
        config="No",
        log_level="verbose",
        native_sidecar="perhaps",
        hold_application="maybe",
        cpu_request="1 core",
        exclude_outbound_ports="99999",
        exclude_outbound_cidrs="10.0.0.1/8",
        inbound_mode="transparent",
    ) == [
        "annotation sidecar.mesh/exclude-inbound-port: unknown"
        " (did you mean 'sidecar.mesh/exclude-inbound-ports'?)",
        "annotation sidecar.mesh/config: a name has lower case letters, digits, '-' and"
        " '.', at most 253 of them, got 'No'",
        "annotation sidecar.mesh/log-level: expected one of 'debug', 'info', 'warning',"
        " 'error', got 'verbose'",
        "annotation sidecar.mesh/native-sidecar: expected 'enabled' or 'disabled'"
        " (or 'true', 'false'), got 'perhaps'",
        "annotation sidecar.mesh/hold-application: expected 'enabled' or 'disabled'"
        " (or 'true', 'false'), got 'maybe'",
        "annotation sidecar.mesh/cpu-request: expected a quantity, as in '50m' or"
        " '64Mi', got '1 core'",
        "annotation sidecar.mesh/inbound-mode: one of 'redirect', 'tproxy',"
        " got 'transparent'",
        "annotation sidecar.mesh/exclude-outbound-ports: a port is a number from 1 to"
        " 65535, got '99999'",
        "annotation sidecar.mesh/exclude-outbound-cidrs: a network has no host bits:"
        " 10.0.0.0/8 is one, got '10.0.0.1/8'",
    ]


def test_what_cannot_hold_together_is_refused() -> None:
    assert problems(
        memory_limit="32Mi", include_inbound_ports="22", exclude_outbound_ports="*"
    ) == [
        "annotation sidecar.mesh/memory-request: a request is at most the limit, 32Mi,"
        " got '64Mi'",
        "annotation sidecar.mesh/exclude-outbound-ports: a port is a number from 1 to"
        " 65535, got '*'",
    ]
    (problem,) = problems(include_inbound_ports="22")
    assert problem.startswith(
        "annotation sidecar.mesh/exclude-inbound-ports: 22 is all"
    )


@pytest.mark.parametrize(
    ("text", "on"),
    [("enabled", True), ("TRUE", True), ("disabled", False), (" false", False)],
)
def test_a_switch_is_on_or_off(text: str, *, on: bool) -> None:
    assert parse_switch(text) is on


def test_a_switch_that_is_misspelt_is_neither() -> None:
    with pytest.raises(ValueError, match="did you mean 'enabled'"):
        parse_switch("enable")


def test_of_very_many_that_are_unknown_some_are_named() -> None:
    many = {f"sidecar.mesh/a{n}": "x" for n in range(50_000)}
    with pytest.raises(AnnotationsError) as error:
        with_annotations(SETTINGS, many, {})
    assert len(error.value.problems) == 21
    assert error.value.problems[-1] == "annotations: 49980 more are unknown"
