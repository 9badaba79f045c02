"""The containers and volumes that a pod gets, as Kubernetes writes them."""

from __future__ import annotations

from typing import Any, Final

from sidecar.config.app_probes import VARIABLE
from sidecar.injector.model import (
    INIT,
    SIDECAR,
    TELEMETRY_PORT,
    IdentitySource,
    IdentityVolume,
    InjectionSettings,
    Resources,
)
from sidecar.redirect.options import OPTIONS

CONFIG_VOLUME: Final = "sidecar-config"
IDENTITY_VOLUME: Final = "sidecar-identity"
NO_TOKEN_VOLUME: Final = "sidecar-no-token"  # noqa: S105 - it keeps one away
RUN_VOLUME: Final = "sidecar-run"
VOLUMES: Final = (CONFIG_VOLUME, IDENTITY_VOLUME, NO_TOKEN_VOLUME, RUN_VOLUME)

_CONFIG: Final = "/etc/sidecar"
# An API server mounts the token of the service account there, in every container that
# has nothing there, those of a webhook included; the application's is not for us.
_NO_TOKEN: Final = {
    "name": NO_TOKEN_VOLUME,
    "mountPath": "/var/run/secrets/kubernetes.io/serviceaccount",
    "readOnly": True,
}
# In memory: one on disk keeps a node from being scaled down
# (kubernetes/autoscaler#5551).
_EMPTY: Final = {"medium": "Memory", "sizeLimit": "1Mi"}
_DRIVERS: Final = {
    IdentitySource.CSI: "spiffe.csi.cert-manager.io",
    IdentitySource.SPIRE: "csi.spiffe.io",
}
_MOUNTS: Final = {
    IdentitySource.CSI: "/var/run/secrets/spiffe.io",
    IdentitySource.SPIRE: "/spiffe-workload-api",
    IdentitySource.SECRET: "/run/sidecar",
}
_VARIABLES: Final = {each.name: each.variable for each in OPTIONS}
_WAIT_SECONDS: Final = 60


def sidecar_container(settings: InjectionSettings, app_probes: str) -> dict[str, Any]:
    """Give the container that carries the pod's TCP.

    Args:
        settings: Those of the pod.
        app_probes: What goes into the variable; empty, where there are none.
    """
    args = ["run", "--config", f"{_CONFIG}/sidecar.yaml"]
    if settings.log_level is not None:
        args += ["--log-level", str(settings.log_level)]
    container: dict[str, Any] = {
        "name": SIDECAR,
        **_image(settings, settings.image),
        "args": args,
        "ports": [{"name": "sidecar-metrics", "containerPort": TELEMETRY_PORT}],
        "env": _environ(settings, app_probes),
        "resources": _resources(settings.resources),
        **_probes(settings),
        "securityContext": _sidecar_rights(settings),
        "volumeMounts": [
            {"name": CONFIG_VOLUME, "mountPath": _CONFIG, "readOnly": True},
            {
                "name": IDENTITY_VOLUME,
                "mountPath": settings.identity.mount
                or _MOUNTS[settings.identity.source],
                "readOnly": True,
            },
            {**_NO_TOKEN},
        ],
        # The last words of a sidecar that ended are in `kubectl describe pod`.
        "terminationMessagePolicy": "FallbackToLogsOnError",
    }
    if settings.native:
        container["restartPolicy"] = "Always"
    elif settings.hold_application:
        wait = ["sidecar", "wait", "--timeout", str(_WAIT_SECONDS)]
        container["lifecycle"] = {"postStart": {"exec": {"command": wait}}}
    return _without_empty(container)


def init_container(settings: InjectionSettings) -> dict[str, Any]:
    """Give the container that turns the pod's TCP to the sidecar."""
    options = dict(settings.redirect.options)
    for name in ("proxy_uid", "proxy_gid"):
        options[name] = str(getattr(settings, name))
    return _without_empty(
        {
            "name": INIT,
            **_image(settings, settings.init_image or settings.image),
            # The check fails the pod, rather than let it run with a hole.
            "args": ["redirect", "apply", "--check"],
            "env": [
                {"name": variable, "value": options[name]}
                for name, variable in _VARIABLES.items()
                if options.get(name)
            ],
            "resources": _resources(settings.init_resources),
            "securityContext": _rights(0, 0, "NET_ADMIN", "NET_RAW"),
            # Legacy iptables keeps its lock there.
            "volumeMounts": [{"name": RUN_VOLUME, "mountPath": "/run"}, {**_NO_TOKEN}],
            "terminationMessagePolicy": "FallbackToLogsOnError",
        }
    )


def _environ(settings: InjectionSettings, app_probes: str) -> list[dict[str, str]]:
    told = {VARIABLE: app_probes}
    if settings.redirect.tproxy:
        # So that it says so, where `sidecar.yaml` knows nothing of it.
        told[_VARIABLES["inbound_mode"]] = "tproxy"
    return [{"name": name, "value": value} for name, value in told.items() if value]


def _sidecar_rights(settings: InjectionSettings) -> dict[str, Any]:
    if settings.redirect.tproxy:
        # To call the application from its caller's address takes NET_RAW or NET_ADMIN.
        # Kubernetes gives capabilities to root alone: those of other users would have
        # to be ambient, which there is no field for (kubernetes/enhancements#2763).
        # The rules know the sidecar by its group.
        return _rights(0, settings.proxy_gid, "NET_RAW")
    return _rights(settings.proxy_uid, settings.proxy_gid)


def _rights(user: int, group: int, *capabilities: str) -> dict[str, Any]:
    added = {"add": [*capabilities]} if capabilities else {}
    return {
        "runAsUser": user,
        "runAsGroup": group,
        "runAsNonRoot": user != 0,
        "readOnlyRootFilesystem": True,
        "allowPrivilegeEscalation": False,
        "privileged": False,
        "capabilities": {"drop": ["ALL"], **added},
        "seccompProfile": {"type": "RuntimeDefault"},
    }


def volumes(settings: InjectionSettings, service_account: str) -> list[dict[str, Any]]:
    """Give the volumes of both."""
    found: list[dict[str, Any]] = [
        {"name": CONFIG_VOLUME, "configMap": {"name": settings.config_map}},
        {
            "name": IDENTITY_VOLUME,
            **_identity(settings.identity, settings.proxy_gid, service_account),
        },
        {"name": NO_TOKEN_VOLUME, "emptyDir": {**_EMPTY}},
    ]
    if settings.redirect.enabled:
        found.append({"name": RUN_VOLUME, "emptyDir": {**_EMPTY}})
    return found


def _identity(
    identity: IdentityVolume, group: int, service_account: str
) -> dict[str, Any]:
    """Give the volume, so that the sidecar's group can read it.

    The pod's own `fsGroup` would do that too, and change the application's volumes.
    """
    if identity.source is IdentitySource.SECRET:
        # Only the sidecar mounts it; who else is in its container?
        name = identity.secret.replace("{service_account}", service_account)
        return {"secret": {"secretName": name, "defaultMode": 0o444}}
    driver = identity.driver or _DRIVERS[identity.source]
    csi: dict[str, Any] = {"driver": driver, "readOnly": True}
    if identity.source is IdentitySource.CSI:
        csi["volumeAttributes"] = {f"{driver}/fs-group": str(group)}
    return {"csi": csi}


def _probes(settings: InjectionSettings) -> dict[str, Any]:
    def probe(path: str, period: int, failures: int) -> dict[str, Any]:
        return {
            "httpGet": {"path": path, "port": TELEMETRY_PORT, "scheme": "HTTP"},
            "periodSeconds": period,
            "timeoutSeconds": 3,
            "failureThreshold": failures,
        }

    probes = {
        "readinessProbe": probe("/readyz", 5, 3),
        "livenessProbe": probe("/livez", 10, 6),
    }
    if settings.hold_application:
        # What comes after a native sidecar waits for this one.
        probes = {"startupProbe": probe("/readyz", 1, 120), **probes}
    return probes


def _image(settings: InjectionSettings, image: str) -> dict[str, Any]:
    policy = settings.image_pull_policy
    return {"image": image, "imagePullPolicy": str(policy) if policy else None}


def _resources(resources: Resources) -> dict[str, Any]:
    return _without_empty(
        {
            "requests": _without_empty(
                {
                    "cpu": resources.cpu_request,
                    "memory": resources.memory_request,
                }
            ),
            "limits": _without_empty(
                {
                    "cpu": resources.cpu_limit,
                    "memory": resources.memory_limit,
                }
            ),
        }
    )


def _without_empty(fields: dict[str, Any]) -> dict[str, Any]:
    """Leave out what is None or holds nothing; numbers and flags stay."""
    return {
        key: value
        for key, value in fields.items()
        if value is not None and value not in ([], {})
    }
