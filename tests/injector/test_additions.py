from __future__ import annotations

from typing import Any

import pytest
from attrs import evolve

from sidecar.config.model import LogLevel
from sidecar.injector.additions import init_container, sidecar_container, volumes
from sidecar.injector.model import (
    IdentitySource,
    IdentityVolume,
    InjectionSettings,
    NativeSidecar,
    PullPolicy,
    RedirectSettings,
    Resources,
)
from sidecar.redirect.model import Ports
from sidecar.redirect.options import parse_options

SETTINGS = InjectionSettings("example/sidecar:1")
NATIVE = evolve(SETTINGS, native_sidecar=NativeSidecar.ALWAYS)


def test_the_sidecar_has_no_more_rights_than_it_needs() -> None:
    assert sidecar_container(SETTINGS, "")["securityContext"] == {
        "runAsUser": 1337,
        "runAsGroup": 1337,
        "runAsNonRoot": True,
        "readOnlyRootFilesystem": True,
        "allowPrivilegeEscalation": False,
        "privileged": False,
        "capabilities": {"drop": ["ALL"]},
        "seccompProfile": {"type": "RuntimeDefault"},
    }


def test_with_tproxy_the_sidecar_is_root_with_one_capability() -> None:
    settings = evolve(
        SETTINGS, redirect=RedirectSettings(options={"inbound_mode": "tproxy"})
    )
    container = sidecar_container(settings, "")
    assert container["securityContext"] == {
        **sidecar_container(SETTINGS, "")["securityContext"],
        "runAsUser": 0,
        "runAsGroup": 1337,
        "runAsNonRoot": False,
        "capabilities": {"drop": ["ALL"], "add": ["NET_RAW"]},
    }
    mode = {"name": "SIDECAR_REDIRECT_INBOUND_MODE", "value": "tproxy"}
    assert container["env"] == [mode]
    assert mode in init_container(settings)["env"]
    # What it lets by is its group's; that it is root lets nothing by.
    assert {"name": "SIDECAR_REDIRECT_PROXY_UID", "value": "1337"} in (
        init_container(settings)["env"]
    )


def test_the_init_container_is_root_with_two_capabilities() -> None:
    context = init_container(SETTINGS)["securityContext"]
    assert context["runAsUser"] == 0
    assert context["capabilities"] == {"drop": ["ALL"], "add": ["NET_ADMIN", "NET_RAW"]}
    assert context["readOnlyRootFilesystem"] is True
    assert context["allowPrivilegeEscalation"] is False


def test_neither_container_is_given_the_token_of_the_service_account() -> None:
    # ServiceAccount admission passes by what has a mount of its own there.
    for container in (sidecar_container(SETTINGS, ""), init_container(SETTINGS)):
        mounts = {each["mountPath"]: each for each in container["volumeMounts"]}
        there = mounts["/var/run/secrets/kubernetes.io/serviceaccount"]
        assert there["readOnly"] is True
        found = {each["name"]: each for each in volumes(SETTINGS, "web")}
        assert found[there["name"]].keys() == {"name", "emptyDir"}, "nothing is in it"


@pytest.mark.parametrize("hold", [True, False])
def test_the_application_waits_for_a_sidecar_beside_it(*, hold: bool) -> None:
    container = sidecar_container(evolve(SETTINGS, hold_application=hold), "")
    hook = container.get("lifecycle", {}).get("postStart", {}).get("exec", {})
    assert hook.get("command") == (
        ["sidecar", "wait", "--timeout", "60"] if hold else None
    )
    assert "restartPolicy" not in container
    assert ("startupProbe" in container) is hold


@pytest.mark.parametrize("hold", [True, False])
def test_a_native_sidecar_holds_by_its_startup_probe(*, hold: bool) -> None:
    container = sidecar_container(evolve(NATIVE, hold_application=hold), "")
    assert container["restartPolicy"] == "Always"
    assert "lifecycle" not in container
    assert ("startupProbe" in container) is hold


def test_settings_that_say_nothing_leave_nothing_empty_behind() -> None:
    container = sidecar_container(evolve(SETTINGS, resources=Resources()), "")
    assert not {"env", "resources", "imagePullPolicy"} & container.keys()
    assert container["args"] == ["run", "--config", "/etc/sidecar/sidecar.yaml"]


def test_what_is_set_is_there() -> None:
    settings = evolve(
        SETTINGS,
        image_pull_policy=PullPolicy.NEVER,
        log_level=LogLevel.DEBUG,
        resources=Resources(None, None, "1", "1Gi"),
        identity=IdentityVolume(mount="/run/svid"),
        proxy_uid=2000,
        proxy_gid=3000,
    )
    container = sidecar_container(settings, '{"x":1}')
    assert container["imagePullPolicy"] == "Never"
    assert container["args"][-2:] == ["--log-level", "debug"]
    assert container["resources"] == {"limits": {"cpu": "1", "memory": "1Gi"}}
    assert container["env"] == [{"name": "SIDECAR_APP_PROBES", "value": '{"x":1}'}]
    assert container["volumeMounts"][1]["mountPath"] == "/run/svid"
    assert container["securityContext"]["runAsUser"] == 2000
    assert container["securityContext"]["runAsGroup"] == 3000


def test_the_init_container_is_told_what_the_settings_say() -> None:
    settings = evolve(
        SETTINGS,
        init_image="example/init:1",
        proxy_uid=2000,
        redirect=RedirectSettings(
            options={"exclude_inbound_ports": "22", "include_outbound_ports": ""}
        ),
    )
    container = init_container(settings)
    assert container["image"] == "example/init:1"
    environ = {each["name"]: each["value"] for each in container["env"]}
    assert environ.keys() == {
        "SIDECAR_REDIRECT_EXCLUDE_INBOUND_PORTS",
        "SIDECAR_REDIRECT_PROXY_UID",
        "SIDECAR_REDIRECT_PROXY_GID",
    }
    redirect = parse_options({}, environ).redirect
    assert redirect.exclude_inbound_ports == (Ports(22, 22),)
    assert (redirect.proxy_uid, redirect.proxy_gid) == (2000, 1337)


@pytest.mark.parametrize(
    ("identity", "volume", "mount"),
    [
        (
            IdentityVolume(),
            {
                "csi": {
                    "driver": "spiffe.csi.cert-manager.io",
                    "readOnly": True,
                    "volumeAttributes": {"spiffe.csi.cert-manager.io/fs-group": "1337"},
                }
            },
            "/var/run/secrets/spiffe.io",
        ),
        (
            IdentityVolume(IdentitySource.SPIRE),
            {"csi": {"driver": "csi.spiffe.io", "readOnly": True}},
            "/spiffe-workload-api",
        ),
        (
            IdentityVolume(IdentitySource.SPIRE, driver="csi.example.org"),
            {"csi": {"driver": "csi.example.org", "readOnly": True}},
            "/spiffe-workload-api",
        ),
        (
            IdentityVolume(IdentitySource.SECRET),
            {"secret": {"secretName": "web-svid", "defaultMode": 0o444}},
            "/run/sidecar",
        ),
    ],
)
def test_the_identity_is_where_its_source_puts_it_and_1337_can_read_it(
    identity: IdentityVolume, volume: dict[str, Any], mount: str
) -> None:
    settings = evolve(SETTINGS, identity=identity)
    assert volumes(settings, "web")[1] == {"name": "sidecar-identity", **volume}
    assert sidecar_container(settings, "")["volumeMounts"][1]["mountPath"] == mount


def test_without_redirection_there_is_no_volume_for_its_lock() -> None:
    settings = evolve(SETTINGS, redirect=RedirectSettings(enabled=False))
    assert [each["name"] for each in volumes(settings, "x")] == [
        "sidecar-config",
        "sidecar-identity",
        "sidecar-no-token",
    ]
    assert volumes(SETTINGS, "x")[3]["name"] == "sidecar-run"
