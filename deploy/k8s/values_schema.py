"""Print `values.schema.json` of the chart: what its values may be.

What goes into sidecar.yaml, policy.yaml and injection.yaml is what `sidecar check` takes,
from the same definitions; only what is the chart's own is written down here.
`scripts/chart` calls this.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Final

from sidecar.config.policy_sections import read_whole_policy
from sidecar.config.sections import read_whole_config
from sidecar.config.shape import shape_of
from sidecar.config.text_shapes import LISTEN, TRUST_DOMAIN
from sidecar.injector.settings import read_settings

if TYPE_CHECKING:
    from sidecar.config.shape import Shape

TEXT: Final = {"type": "string"}
FLAG: Final = {"type": "boolean"}
ANY: Final = {"type": "object"}
# https://kubernetes.io/docs/concepts/overview/working-with-objects/labels
_KEY: Final = (
    "^([a-z0-9]([-.a-z0-9]*[a-z0-9])?/)?[A-Za-z0-9]([-._A-Za-z0-9]{0,61}[A-Za-z0-9])?$"
)
_VALUE: Final = "^([A-Za-z0-9]([-._A-Za-z0-9]{0,61}[A-Za-z0-9])?)?$"
LABELS: Final[Shape] = {
    "type": "object",
    "propertyNames": {"pattern": _KEY},
    "additionalProperties": {"type": "string", "pattern": _VALUE},
}
ANNOTATIONS: Final[Shape] = {
    "type": "object",
    "propertyNames": {"pattern": _KEY},
    "additionalProperties": {"type": "string"},
}
_NAME: Final = "[a-z0-9]([-.a-z0-9]{0,251}[a-z0-9])?"  # RFC 1123, of a subdomain
NAME: Final[Shape] = {"type": "string", "pattern": f"^{_NAME}$"}
NAME_OR_NONE: Final[Shape] = {"type": "string", "pattern": f"^({_NAME})?$"}
# https://github.com/distribution/reference: no tag, which has a key of its own.
REPOSITORY: Final[Shape] = {
    "type": "string",
    "pattern": "^([A-Za-z0-9][A-Za-z0-9.-]*(:[0-9]+)?/)?"
    "[a-z0-9]+(([._]|__|-+)[a-z0-9]+)*(/[a-z0-9]+(([._]|__|-+)[a-z0-9]+)*)*$",
}
TOLERATION_EFFECTS: Final = ["", "NoSchedule", "PreferNoSchedule", "NoExecute"]
TOLERATION_OPERATORS: Final = ["Exists", "Equal", "Lt", "Gt"]
DURATION: Final = {"type": "string", "pattern": "^([0-9]+(h|m|s|ms))+$"}
# https://pkg.go.dev/k8s.io/apimachinery/pkg/api/resource#Quantity
QUANTITY: Final[Shape] = {
    "type": ["string", "number"],
    "pattern": r"^[0-9]+(\.[0-9]+)?([numkMGTPE]|[KMGTPE]i|[eE][-+]?[0-9]+)?$",
}
AMOUNTS: Final[Shape] = {"type": ["object", "null"], "additionalProperties": QUANTITY}
# Five fields, or the name of a schedule (https://pkg.go.dev/github.com/robfig/cron/v3).
SCHEDULE: Final = (
    "^(@(yearly|annually|monthly|weekly|daily|midnight|hourly)"
    "|[0-9*/,?-]+ +[0-9*/,?-]+( +[0-9A-Za-z*/,?-]+){3})$"
)
LABEL: Final = (
    "^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$"  # RFC 1123, as namespaces are called
)
FILES: Final[Shape] = {
    "type": ["object", "null"],
    "propertyNames": {
        "pattern": "^[A-Za-z0-9][-._A-Za-z0-9]{0,252}$",
        "not": {"enum": ["sidecar.yaml", "policy.yaml"]},
    },
    "additionalProperties": {"type": ["string", "null"]},
}
"""What lies beside sidecar.yaml: certificates of CAs, lists of revoked ones."""
CHOSEN: Final = ("image",)
"""Keys of injection.yaml that the chart has keys of its own for."""


def closed(**properties: Shape) -> Shape:
    """A mapping with these keys and no other."""
    return {"type": "object", "properties": properties, "additionalProperties": False}


def partial(shape: Shape) -> Shape:
    """A mapping of which anything may be left to the mesh, or be taken away by null.

    What is in a list is whole: lists are not merged.
    """
    if "properties" not in shape and "additionalProperties" not in shape:
        return _or_null(shape)
    relaxed = {key: value for key, value in shape.items() if key != "required"}
    if "properties" in shape:
        inner: dict[str, Shape] = shape["properties"]
        relaxed["properties"] = {key: partial(each) for key, each in inner.items()}
    if isinstance(shape["additionalProperties"], dict):
        relaxed["additionalProperties"] = partial(shape["additionalProperties"])
    return _or_null(relaxed)


def _or_null(shape: Shape) -> Shape:
    if "enum" in shape:
        return {**shape, "enum": [*shape["enum"], None]}
    if "anyOf" in shape:
        return {**shape, "anyOf": [*shape["anyOf"], {"type": "null"}]}
    kinds = shape["type"] if isinstance(shape["type"], list) else [shape["type"]]
    return {**shape, "type": [*kinds, "null"]}


def schema() -> Shape:
    """Give the whole schema."""
    settings = dict(shape_of(read_settings)["properties"])
    injection = {
        "type": "object",
        "properties": {key: settings[key] for key in settings if key not in CHOSEN},
        "additionalProperties": False,
    }
    own = {"$ref": "#/$defs/config"}, {"$ref": "#/$defs/policy"}
    each: Shape = {"config": own[0], "policy": own[1], "files": FILES}
    properties = {
        "global": ANY,
        "image": closed(
            repository=REPOSITORY,
            tag=TEXT,
            digest={"type": "string", "pattern": "^(sha256:[0-9a-f]{64})?$"},
            pullPolicy={"enum": ["Always", "IfNotPresent", "Never"]},
        ),
        "imagePullSecrets": {"type": "array", "items": closed(name=NAME)},
        "mesh": closed(trustDomain=TRUST_DOMAIN, **each),
        "namespaces": {
            "type": "object",
            "propertyNames": {"pattern": LABEL},
            "additionalProperties": _or_null(closed(**each)),
        },
        "check": closed(enabled=FLAG),
        "injection": injection,
        "webhook": webhook(),
        "podMonitor": closed(enabled=FLAG, interval=DURATION, labels=LABELS),
        "prometheusRule": closed(enabled=FLAG, labels=LABELS),
        "alerts": closed(configMap=FLAG),
        "dashboards": closed(enabled=FLAG, labels=LABELS, annotations=ANNOTATIONS),
    }
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Values of the chart sidecar",
        **closed(**properties),
        "$defs": {
            "config": partial(shape_of(read_whole_config)),
            "policy": partial(shape_of(read_whole_policy)),
        },
    }


def webhook() -> Shape:
    """Give what the webhook can be told."""
    certificates = closed(
        source={"enum": ["job", "cert-manager", "secret"]},
        job=closed(
            # The CronJob comes once a day, and a third of the life is left by then.
            days={"type": "integer", "minimum": 4, "maximum": 3650},
            schedule={"type": "string", "pattern": SCHEDULE},
        ),
        certManager=closed(issuerRef=ANY, duration=DURATION),
        secret=closed(name=NAME_OR_NONE, caBundle=TEXT),
    )
    toleration = closed(
        key=TEXT,
        operator={"enum": TOLERATION_OPERATORS},
        value=TEXT,
        effect={"enum": TOLERATION_EFFECTS},
        tolerationSeconds={"type": "integer"},
    )
    return closed(
        enabled=FLAG,
        replicas={"type": "integer", "minimum": 0},
        listen=LISTEN,
        telemetry=LISTEN,
        failurePolicy={"enum": ["Fail", "Ignore"]},
        timeoutSeconds={"type": "integer", "minimum": 1, "maximum": 30},
        reinvocationPolicy={"enum": ["Never", "IfNeeded"]},
        excludedNamespaces={
            "type": "array",
            "items": {"type": "string", "pattern": LABEL},
        },
        certificates=certificates,
        resources={
            "type": "object",
            "properties": {"requests": AMOUNTS, "limits": AMOUNTS},
        },
        podDisruptionBudget=closed(
            enabled=FLAG,
            minAvailable={
                "type": ["integer", "string"],
                "minimum": 0,
                "pattern": "^[0-9]+%$",
            },
        ),
        networkPolicy=closed(enabled=FLAG),
        priorityClassName=NAME_OR_NONE,
        nodeSelector=LABELS,
        tolerations={"type": "array", "items": toleration},
        affinity=closed(nodeAffinity=ANY, podAffinity=ANY, podAntiAffinity=ANY),
        podAnnotations=ANNOTATIONS,
        podLabels=LABELS,
    )


def text() -> str:
    """Give the schema as the file has it."""
    return f"{json.dumps(schema(), indent=1)}\n"


if __name__ == "__main__":
    print(text(), end="")
