"""`injection.yaml` into values, with every problem at once, as for `sidecar.yaml`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from attrs import frozen

from sidecar.config.document import Items, Section
from sidecar.config.files import UnreadableError, read_bounded
from sidecar.config.model import LogLevel
from sidecar.config.place import Finding, Invalid
from sidecar.config.problems import ConfigError, Problem
from sidecar.config.readers import (
    Reader,
    choice,
    listed,
    parsed,
    read_flag,
    whole,
)
from sidecar.config.shape import TEXT, Shape, matching, shape_of, shaped
from sidecar.config.structure import reader_of
from sidecar.config.wording import shown, suggestion
from sidecar.config.yaml_document import parse_document
from sidecar.injector.annotations import REDIRECT
from sidecar.injector.model import (
    IdentitySource,
    IdentityVolume,
    InjectionSettings,
    KubernetesVersion,
    NativeSidecar,
    PullPolicy,
    RedirectSettings,
    Resources,
)
from sidecar.injector.quantity import QUANTITY, parse_quantity, too_much
from sidecar.injector.values import parse_image, parse_mount, parse_object_name
from sidecar.redirect.options import OptionsError, parse_options

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_LARGEST: Final = 1024 * 1024
_LAST_ID: Final = 2**31 - 1  # Kubernetes' own, below Linux'
_HOUR: Final = 3600
_ACCOUNT: Final = "{service_account}"

_NAME: Final = parsed(parse_object_name, "a name")
_IMAGE: Final = parsed(parse_image, "an image")
_ID: Final = whole(1, _LAST_ID)
_PORTS_OR_NETWORKS: Final[Shape] = {
    "anyOf": [
        {"type": ["string", "integer"]},
        {"type": "array", "items": {"type": ["string", "integer"]}},
    ]
}


def load_settings(path: Path) -> InjectionSettings:
    """Load `injection.yaml`.

    Raises:
        ConfigError: The file cannot be read or breaks rules; it carries every
            problem. No other exception escapes, whatever the file.
    """
    source = str(path)
    try:
        data = read_bounded(path, _LARGEST)
    except UnreadableError as error:
        raise ConfigError(source, (Problem("", str(error), None, source),)) from None
    return parse_settings(data, source)


def parse_settings(data: bytes, source: str) -> InjectionSettings:
    """Parse the bytes of `injection.yaml`.

    Raises:
        ConfigError: As for `load_settings`.
    """
    document = parse_document(data, source)
    findings = [*document.findings]
    try:
        settings = read_settings(document.root, None)
    except Invalid as error:
        findings += error.findings
    else:
        if not findings:
            return settings
    raise ConfigError(source, document.problems(findings))


def _quantity(text: str) -> str:
    parse_quantity(text)
    return text


def _read_quantity(value: object, _type: object = None) -> str:
    # Without quotes, `cpu: 2` is a number; there is no doubt what was meant.
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        value = str(value)
    return parsed(_quantity, "a quantity, as in '50m' or '64Mi'")(value, None)


shaped(_read_quantity, {**matching(QUANTITY), "type": ["string", "number"]})


@frozen
class _Amounts:
    cpu: str | None = None
    memory: str | None = None


@frozen
class _Resources:
    requests: _Amounts = _Amounts()
    limits: _Amounts = _Amounts()


_AMOUNTS: Final = reader_of(_Amounts, {"cpu": _read_quantity, "memory": _read_quantity})
_READ_RESOURCES: Final = reader_of(
    _Resources, {"requests": _AMOUNTS, "limits": _AMOUNTS}
)


def _resources(value: object, _type: object = None) -> Resources:
    found = _READ_RESOURCES(value, None)
    resources = Resources(
        found.requests.cpu, found.requests.memory, found.limits.cpu, found.limits.memory
    )
    if problems := tuple(too_much(resources)):
        raise Invalid(Finding(("requests", key), what) for key, what in problems)
    return resources


shaped(_resources, shape_of(_READ_RESOURCES))


def _secret(text: str) -> str:
    parse_object_name(text.replace(_ACCOUNT, "x"))
    return text


def _version(value: object, _type: object = None) -> KubernetesVersion:
    if isinstance(value, float):
        # 1.30 without quotes is 1.3 to YAML.
        raise Invalid.here(f"expected text, got {shown(value)} (put it in quotes)")
    return parsed(KubernetesVersion.parse, "a version, as in '1.29'")(value, None)


shaped(_version, TEXT)


def _option_text(value: object) -> str:
    """Take a list, or a text, as the command line would have it."""
    if isinstance(value, Items):
        if all(isinstance(each, (str, int)) for each in value):
            return ",".join(map(str, value))
    elif isinstance(value, (str, int)) and not isinstance(value, bool):
        return str(value)
    raise Invalid.here(f"expected a list, got {shown(value)}")


def _redirect(value: object, _type: object = None) -> RedirectSettings:
    if not isinstance(value, Section):
        raise Invalid.here(f"expected a mapping, got {shown(value)}")
    enabled, options = True, dict[str, str]()
    findings: list[Finding] = []
    for key, item in value.items():
        try:
            if key == "enabled":
                enabled = read_flag(item)
            elif key in REDIRECT:
                options[str(key)] = _option_text(item)
            else:
                known = ("enabled", *REDIRECT)
                raise Invalid.here(f"unknown key {shown(key)}{suggestion(key, known)}")
        except Invalid as error:
            findings += [each.under(key) for each in error.findings]
    try:
        parse_options(options, {})
    except OptionsError as error:
        findings += [
            Finding((each.where.removeprefix("--").replace("-", "_"),), each.what)
            for each in error.problems
        ]
    if findings:
        raise Invalid(findings)
    return RedirectSettings(enabled, options)


shaped(
    _redirect,
    {
        "type": "object",
        "properties": {
            "enabled": {"type": "boolean"},
            **dict.fromkeys(REDIRECT, _PORTS_OR_NETWORKS),
            "inbound_mode": {"enum": ["redirect", "tproxy"]},
        },
        "additionalProperties": False,
    },
)


def _check_identity(identity: IdentityVolume) -> Iterator[Finding]:
    if identity.source is IdentitySource.SECRET and identity.driver is not None:
        yield Finding(("driver",), "a Secret has no CSI driver: remove the key")


_READERS: Final[dict[str, Reader[Any]]] = {
    "image": _IMAGE,
    "image_pull_policy": choice(PullPolicy),
    "image_pull_secrets": listed(_NAME, "names of Secrets"),
    "init_image": _IMAGE,
    "native_sidecar": choice(NativeSidecar),
    "kubernetes_version": _version,
    "hold_application": read_flag,
    "rewrite_probes": read_flag,
    "prometheus_annotations": read_flag,
    "config_map": _NAME,
    "identity": reader_of(
        IdentityVolume,
        {
            "source": choice(IdentitySource),
            "driver": _NAME,
            "mount": parsed(parse_mount, "an absolute path"),
            "secret": parsed(_secret, "the name of a Secret"),
        },
        _check_identity,
    ),
    "resources": _resources,
    "init_resources": _resources,
    "redirect": _redirect,
    "proxy_uid": _ID,
    "proxy_gid": _ID,
    "log_level": choice(LogLevel),
    "drain_seconds": whole(0, _HOUR),
}
read_settings: Final = reader_of(InjectionSettings, _READERS)
