"""What injection is told, and what it answers: values, and no decision."""

from __future__ import annotations

import re
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Final, Self, TypeAlias

from attrs import field, frozen

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sidecar.config.model import LogLevel

PREFIX: Final = "sidecar.mesh/"
"""How every label and annotation of ours begins."""

INJECT: Final = PREFIX + "inject"
"""The label of a namespace or a pod: enabled or disabled."""
STATUS: Final = PREFIX + "status"
"""The annotation that says what was added, for `uninject`."""
INJECTED: Final = PREFIX + "injected"
"""The label, "true", by which the pods of the mesh are found."""

SIDECAR: Final = "sidecar"
INIT: Final = "sidecar-init"
TELEMETRY_PORT: Final = 15020
PORTS: Final = (15000, 15001, 15006, TELEMETRY_PORT)
"""The sidecar's listeners within a pod."""

Operation: TypeAlias = dict[str, Any]
"""One step of a JSON patch (RFC 6902), as `json.dumps` takes it."""


class PullPolicy(StrEnum):
    """When the kubelet fetches the image."""

    ALWAYS = "Always"
    IF_NOT_PRESENT = "IfNotPresent"
    NEVER = "Never"


class NativeSidecar(StrEnum):
    """Whether the sidecar is an init container that goes on running."""

    AUTO = "auto"
    """Where the version of Kubernetes is known to have them: 1.29 and later."""
    ALWAYS = "always"
    NEVER = "never"


class IdentitySource(StrEnum):
    """Where the sidecar's certificate comes from."""

    CSI = "csi"
    """A volume of cert-manager's CSI driver for SPIFFE."""
    SPIRE = "spire"
    """A volume with the socket of a Workload API."""
    SECRET = "secret"  # noqa: S105 - a kind of volume
    """A Secret of the namespace."""


@frozen(order=True)
class KubernetesVersion:
    """A release of Kubernetes."""

    major: int
    minor: int

    def __str__(self) -> str:
        return f"{self.major}.{self.minor}"

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read ``1.29``, ``v1.29.3`` or, as some clouds write it, ``1.29+``.

        Raises:
            ValueError: The text is none of these.
        """
        match = re.match(r"v?([0-9]{1,3})\.([0-9]{1,3})(?![0-9])", text)
        if not match:
            raise ValueError(f"expected a version, as in '1.29', got {text[:80]!r}")
        return cls(int(match[1]), int(match[2]))


NATIVE_SINCE: Final = KubernetesVersion(1, 29)


@frozen
class Resources:
    """What a container asks for, and may have, in quantities of Kubernetes."""

    cpu_request: str | None = None
    memory_request: str | None = None
    cpu_limit: str | None = None
    memory_limit: str | None = None


@frozen
class IdentityVolume:
    """The volume with the sidecar's identity; None stands for what is usual.

    Attributes:
        driver: The CSI driver; for a Secret there is none.
        mount: Where the sidecar finds it.
        secret: The Secret's name; ``{service_account}`` stands for the pod's own.
    """

    source: IdentitySource = IdentitySource.CSI
    driver: str | None = None
    mount: str | None = None
    secret: str = "{service_account}-svid"  # noqa: S105 - a name


@frozen
class RedirectSettings:
    """What the init container is told; texts as `sidecar redirect` takes them.

    Attributes:
        enabled: Without it there is no init container: for sidecars with fixed
            listeners, or where something else turns the TCP of a pod to them.
        options: By the names of `sidecar.redirect.options`, without defaults.
    """

    enabled: bool = True
    options: Mapping[str, str] = field(factory=dict)

    @property
    def tproxy(self) -> bool:
        """Whether the application sees its callers' addresses, by TPROXY."""
        return self.options.get("inbound_mode", "").strip() == "tproxy"


@frozen
class InjectionSettings:
    """All of `injection.yaml`; each default stands here and nowhere else.

    Attributes:
        image: Of the sidecar.
        init_image: Of the init container; None is the same.
        kubernetes_version: None is unknown.
        hold_application: Whether the application waits until the sidecar is ready.
        prometheus_annotations: Whether pods ask to be scraped, unless they do already.
        config_map: Has `sidecar.yaml` and `policy.yaml`.
        resources: The defaults hold 50 MB of a process that has just begun, and ten
            thousand connections.
        log_level: None is what `sidecar.yaml` says.
        drain_seconds: How long the sidecar may take to end; `drain` in `sidecar.yaml`.
    """

    image: str
    image_pull_policy: PullPolicy | None = None
    image_pull_secrets: tuple[str, ...] = ()
    init_image: str | None = None
    native_sidecar: NativeSidecar = NativeSidecar.AUTO
    kubernetes_version: KubernetesVersion | None = None
    hold_application: bool = True
    rewrite_probes: bool = True
    prometheus_annotations: bool = True
    config_map: str = "sidecar"
    identity: IdentityVolume = IdentityVolume()
    resources: Resources = Resources("50m", "64Mi", None, "512Mi")
    init_resources: Resources = Resources("10m", "48Mi", None, "128Mi")
    redirect: RedirectSettings = RedirectSettings()
    proxy_uid: int = 1337
    proxy_gid: int = 1337
    log_level: LogLevel | None = None
    drain_seconds: int = 30

    @property
    def native(self) -> bool:
        """Whether the sidecar becomes a native one."""
        if self.native_sidecar is not NativeSidecar.AUTO:
            return self.native_sidecar is NativeSidecar.ALWAYS
        version = self.kubernetes_version
        return version is not None and version >= NATIVE_SINCE


@frozen
class InjectionContext:
    """What is known of a pod beside the pod.

    Attributes:
        namespace: Its namespace.
        namespace_labels: `INJECT` among them holds for pods that say nothing.
        namespace_annotations: Ours among them hold for pods that say nothing else.
        enabled: What holds where neither pod nor namespace says: true for a command
            that was given the pod by name, false for a webhook.
        kubernetes_version: Of the cluster, where it was asked; else the settings'.
    """

    namespace: str = "default"
    namespace_labels: Mapping[str, str] = field(factory=dict)
    namespace_annotations: Mapping[str, str] = field(factory=dict)
    enabled: bool = False
    kubernetes_version: KubernetesVersion | None = None


@frozen
class Patched:
    """The pod gets the sidecar, or loses it.

    Attributes:
        operations: Apply to the pod, in this order. The last one of an injection adds
            the annotation `STATUS`.
        notes: Sentences for whoever asked: what was left alone, what is needed.
        source: By the path of an operation, the text of a file that it puts back.
    """

    operations: tuple[Operation, ...]
    notes: tuple[str, ...] = ()
    source: Mapping[str, str] = field(factory=dict)


@frozen
class Skipped:
    """The pod stays as it is, and that is well."""

    reason: str


@frozen
class Refused:
    """The pod cannot have the sidecar until these are changed; at least one."""

    problems: tuple[str, ...]

    @property
    def message(self) -> str:
        """All problems in one sentence, as an admission response has it."""
        return "; ".join(self.problems)


Injection: TypeAlias = Patched | Skipped | Refused
