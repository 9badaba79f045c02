"""What the values may be, and what becomes of them."""

from __future__ import annotations

import json
import shutil
from typing import TYPE_CHECKING, Any

import jsonschema
import pytest
import yaml

from deploy.k8s import values_schema
from sidecar.cli import main
from tests.support.helm import CHART, find, helm, manifests, refusal, template
from tests.support.processes import ROOT

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

PEER = "spiffe://cluster.local/ns/shop/sa/frontend"


def rule(name: str, **settings: Any) -> dict[str, Any]:
    return {"name": name, "action": "allow", "peers": [PEER], **settings}


def shop(**settings: Any) -> dict[str, Any]:
    return {"namespaces": {"shop": settings}}


def rendered(values: Any, key: str) -> Any:
    config_map = find(manifests(values=values), "ConfigMap", "sidecar")
    return yaml.safe_load(config_map["data"][key])


def test_the_schema_is_that_of_the_program() -> None:
    schema = CHART / "values.schema.json"
    assert schema.read_text() == values_schema.text(), "it is old: run scripts/chart"
    jsonschema.Draft202012Validator.check_schema(json.loads(schema.read_text()))


def test_every_configuration_of_the_readme_is_one_for_values() -> None:
    blocks = (ROOT / "README.md").read_text().split("```yaml\n")[1:]
    examples = [yaml.safe_load(block.partition("```")[0]) for block in blocks]
    validator = jsonschema.Draft202012Validator(values_schema.schema())
    kinds = {"config": {"identity", "inbound", "outbound"}, "policy": {"rules"}}
    seen = set()
    for example in examples:
        for kind, keys in kinds.items():
            if isinstance(example, dict) and example.keys() & keys:
                # Keys of JSON are text.
                values = json.loads(json.dumps(shop(**{kind: example})))
                validator.validate(values)
                seen.add(kind)
    assert seen == set(kinds)


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"imgae": {}}, "additional properties 'imgae' not allowed"),
        (
            {"mesh": {"config": {"inbuond": {}}}},
            "at '/mesh/config': additional properties 'inbuond' not allowed",
        ),
        (
            shop(config={"inbound": {"mode": "stict"}}),
            "at '/namespaces/shop/config/inbound/mode': value must be one of 'strict'",
        ),
        (
            shop(policy={"rules": [rule("x", ports=[70000])]}),
            "at '/namespaces/shop/policy/rules/0/ports/0': maximum: got 70,000, want 65,535",
        ),
        (
            shop(config={"inbound": {"ports": {70000: {}}}}),
            "invalid propertyName '70000'",
        ),
        (
            shop(config={"admin": {"listen": "127.0.0.1:70000"}}),
            "at '/namespaces/shop/config/admin/listen': '127.0.0.1:70000' does not match",
        ),
        (
            shop(policy={"rules": [rule("x", peers=["spife://cluster.local/ns/x"])]}),
            "/rules/0/peers/0': 'spife://cluster.local/ns/x' does not match pattern",
        ),
        (
            shop(policy={"rules": [{"action": "allow", "peers": [PEER]}]}),
            "at '/namespaces/shop/policy/rules/0': missing property 'name'",
        ),
        (
            shop(policy={"rules": [rule("x", dry_run="no")]}),
            "/rules/0/dry_run': got string, want boolean",
        ),
        (
            shop(files={"policy.yaml": "x"}),
            "invalid propertyName 'policy.yaml'",
        ),
        (
            shop(files={"ca.key": "-----BEGIN PRIVATE KEY-----"}),
            "files: ca.key: holds a private key",
        ),
        (shop(polcy={}), "additional properties 'polcy' not allowed"),
        ({"injection": {"image": "x"}}, "additional properties 'image' not allowed"),
        (
            {"injection": {"native_sidecar": "yes"}},
            "at '/injection/native_sidecar': value must be one of 'auto'",
        ),
        (
            {"webhook": {"timeoutSeconds": 31}},
            "at '/webhook/timeoutSeconds': maximum: got 31, want 30",
        ),
        (
            {"webhook": {"certificates": {"source": "secret"}}},
            "webhook.certificates.secret.name: missing",
        ),
        (
            {
                "webhook": {
                    "certificates": {
                        "source": "secret",
                        "secret": {"name": "x", "caBundle": "-----BEGIN"},
                    }
                }
            },
            "webhook.certificates.secret.caBundle: expected certificates, PEM in base64",
        ),
        (
            {"webhook": {"certificates": {"job": {"schedule": "every day"}}}},
            "at '/webhook/certificates/job/schedule': 'every day' does not match",
        ),
        (
            {"webhook": {"resources": {"limits": {"memory": "64Mii"}}}},
            "at '/webhook/resources/limits/memory': '64Mii' does not match",
        ),
        (
            {"injection": {"resources": {"limits": {"memory": "64Mii"}}}},
            "at '/injection/resources/limits/memory': '64Mii' does not match",
        ),
        (
            {"webhook": {"listen": "0.0.0.0:15020"}},
            "webhook.telemetry: expected a port of its own, got 15020",
        ),
        (
            {"webhook": {"listen": "0.0.0.0:0"}},
            "webhook.listen: expected a port of its own, got 0",
        ),
        (
            {"image": {"repository": "registry:5000/mesh/sidecar:1"}},
            "at '/image/repository': 'registry:5000/mesh/sidecar:1' does not match",
        ),
        (
            {"webhook": {"excludedNamespaces": ["no/name"]}},
            "at '/webhook/excludedNamespaces/0': 'no/name' does not match",
        ),
        (
            {"webhook": {"podDisruptionBudget": {"minAvailable": "half"}}},
            "at '/webhook/podDisruptionBudget/minAvailable': 'half' does not match",
        ),
        (
            {"webhook": {"tolerations": [{"efect": "NoSchedule"}]}},
            "at '/webhook/tolerations/0': additional properties 'efect' not allowed",
        ),
        ({"webhook": {"podLabels": {"a b": "c"}}}, "invalid propertyName 'a b'"),
        (
            {"webhook": {"nodeSelector": {"a": "b c"}}},
            "at '/webhook/nodeSelector/a': 'b c' does not match",
        ),
        (
            {"webhook": {"listen": None}, "podMonitor": None},
            "webhook.listen: expected a value, got null (leave the key out for the"
            " default); podMonitor: expected a value, got null",
        ),
    ],
)
def test_what_is_wrong_is_named_and_nothing_is_rendered(
    values: dict[str, Any], said: str
) -> None:
    assert said in refusal(values)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        (
            {"policy": {"rules": [rule("x"), rule("x")]}},
            "policy.yaml:8: rules[1].name: duplicate name 'x', first at rules[0].name",
        ),
        (
            {"policy": {"rules": [rule("x", sources=["10.0.0.1/8"])]}},
            "rules[0].sources[0]: has bits set after the prefix, got '10.0.0.1/8'",
        ),
        (
            {"config": {"outbound": {"routes": [{"name": "api", "to": ["api"]}]}}},
            "outbound.routes[0].peers: expected at least one peer that may answer",
        ),
        (
            {"config": {"policy": "polcy.yaml"}},
            "policy: expected a key of the same ConfigMap ('policy.yaml')",
        ),
    ],
)
def test_what_no_schema_can_tell_fails_the_job_with_the_sentence_of_the_check(
    settings: Any, said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    objects = manifests(values=shop(**settings))
    job = find(objects, "Job", "sidecar-check")
    before = {"helm.sh/hook": "pre-install,pre-upgrade"}
    assert before.items() <= job["metadata"]["annotations"].items()
    status = run_job(job, find(objects, "ConfigMap", "sidecar-check"), tmp_path)
    assert status == 2
    assert said in capsys.readouterr().err


@pytest.mark.parametrize(
    "repository",
    [
        "sidecar",
        "mesh/sidecar",
        "REGISTRY/sidecar",
        "localhost:5000/sidecar",
        "registry.example.org:443/team/side-car_x/a__b.c",
    ],
)
def test_the_name_of_an_image_is_taken(repository: str) -> None:
    validator = jsonschema.Draft202012Validator(values_schema.schema())
    validator.validate({"image": {"repository": repository}})


def mappings(values: dict[str, Any], above: tuple[str, ...] = ()) -> Iterator[Any]:
    for key, value in values.items():
        if isinstance(value, dict):
            yield (*above, key)
            yield from mappings(value, (*above, key))


DEFAULTS = yaml.safe_load((CHART / "values.yaml").read_text())


@pytest.mark.parametrize("way", [*mappings(DEFAULTS)], ids=".".join)
def test_a_section_with_nothing_in_it_is_its_default_or_named(
    way: tuple[str, ...],
) -> None:
    """As one is, all of whose lines are commented out."""
    values: Any = None
    for key in reversed(way):
        values = {key: values}
    done = template(values=values)
    if done.returncode == 0:
        assert "<nil>" not in done.stdout
    else:
        place = ".".join(way)
        assert f"): {place}: expected a value, got null (leave the key" in done.stderr


def test_the_job_finds_no_fault_with_what_is_right(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    objects = manifests(values=shop(policy={"rules": [rule("x")]}))
    job = find(objects, "Job", "sidecar-check")
    config_map = find(objects, "ConfigMap", "sidecar-check")
    assert run_job(job, config_map, tmp_path) == 0
    assert "configmap shop/sidecar: ok" in capsys.readouterr().out
    checked = list(yaml.safe_load_all(config_map["data"]["manifests.yaml"]))
    installed = [each for each in objects if each["kind"] == "ConfigMap"]
    for each in filter(None, checked):
        assert each in installed


def run_job(job: Any, config_map: Any, folder: Path) -> int:
    """Do what the container of the Job does, with the files that it has."""
    (container,) = job["spec"]["template"]["spec"]["containers"]
    (mount,) = container["volumeMounts"]
    for name, text in config_map["data"].items():
        (folder / name).write_text(text)
    words = [
        str(word).replace(mount["mountPath"], str(folder)) for word in container["args"]
    ]
    return main(words)


def test_a_namespace_is_laid_over_the_mesh_key_by_key() -> None:
    values = {
        "mesh": {"config": {"log": {"level": "debug"}, "limits": {"handshakes": 5}}},
        **shop(config={"log": {"access": "none"}, "limits": {"connections": 1000000}}),
    }
    config = rendered(values, "sidecar.yaml")
    assert config["log"] == {"level": "debug", "access": "none"}
    assert config["limits"] == {"handshakes": 5, "connections": 1000000}
    assert config["inbound"]["mode"] == "strict"


def test_false_and_zero_are_laid_over_too_and_null_takes_away() -> None:
    values = {
        "mesh": {"config": {"drain": {"delay_seconds": 5}, "workers": 4}},
        **shop(
            config={
                "drain": {"delay_seconds": 0, "deadline_seconds": None},
                "workers": None,
            }
        ),
    }
    config = rendered(values, "sidecar.yaml")
    assert config["drain"] == {"delay_seconds": 0}
    assert "workers" not in config


def test_rules_and_routes_of_the_namespace_come_before_those_of_the_mesh() -> None:
    route = {"to": ["10.0.0.1"], "mode": "plaintext"}
    values = {
        "mesh": {
            "config": {"outbound": {"routes": [{"name": "of-mesh", **route}]}},
            "policy": {"rules": [rule("of-mesh")]},
        },
        **shop(
            config={"outbound": {"routes": [{"name": "own", **route}]}},
            policy={"default": "audit", "rules": [rule("own")]},
        ),
    }
    routes = rendered(values, "sidecar.yaml")["outbound"]["routes"]
    assert [each["name"] for each in routes] == ["own", "of-mesh"]
    policy = rendered(values, "policy.yaml")
    assert [each["name"] for each in policy["rules"]] == ["own", "of-mesh"]
    assert policy["default"] == "audit"


def test_files_lie_beside_the_configuration_byte_for_byte() -> None:
    pem = "  said before\n-----BEGIN CERTIFICATE-----\nx\n-----END CERTIFICATE-----\n"
    values = {
        "mesh": {"files": {"partner.pem": "of the mesh\n", "a.crl": "", "old": "x"}},
        **shop(files={"partner.pem": pem, "null": "of null", "old": None}),
        "check": {"enabled": True},
    }
    objects = manifests(values=values)
    data = find(objects, "ConfigMap", "sidecar")["data"]
    own = {"sidecar.yaml", "policy.yaml"}
    files = {name: text for name, text in data.items() if name not in own}
    assert files == {"partner.pem": pem, "a.crl": "", "null": "of null"}
    checked = find(objects, "ConfigMap", "sidecar-check")["data"]["manifests.yaml"]
    installed = [each for each in yaml.safe_load_all(checked) if each]
    assert find(installed, "ConfigMap", "sidecar")["data"] == data


@pytest.mark.parametrize(
    ("source", "identity"),
    [
        (
            {"source": "csi"},
            {
                "certificate_chain": "/var/run/secrets/spiffe.io/tls.crt",
                "private_key": "/var/run/secrets/spiffe.io/tls.key",
                "trust_bundles": {"cluster.local": "/var/run/secrets/spiffe.io/ca.crt"},
            },
        ),
        (
            {"source": "secret", "mount": "/run/id"},
            {
                "certificate_chain": "/run/id/tls.crt",
                "private_key": "/run/id/tls.key",
                "trust_bundles": {"cluster.local": "/run/id/ca.crt"},
            },
        ),
        (
            {"source": "spire"},
            {"workload_api": "unix:///spiffe-workload-api/spire-agent.sock"},
        ),
    ],
)
def test_the_identity_is_what_the_pods_volume_has(source: Any, identity: Any) -> None:
    values = {"injection": {"identity": source}, **shop()}
    assert rendered(values, "sidecar.yaml")["identity"] == identity


def test_an_identity_of_ones_own_is_left_alone() -> None:
    own = {"workload_api": "unix:///run/agent.sock"}
    values = {"mesh": {"config": {"identity": own}}, **shop()}
    assert rendered(values, "sidecar.yaml")["identity"] == own


def test_dashboards_and_alerts_go_where_they_are_looked_for(tmp_path: Path) -> None:
    chart = tmp_path / "chart"
    shutil.copytree(CHART, chart)
    alert = {
        "alert": "X",
        "expr": "up == 0",
        "annotations": {"say": "{{ $labels.pod }}"},
    }
    groups = {"groups": [{"name": "sidecar", "rules": [alert]}]}
    board = {"title": "Mesh", "legend": "{{ peer }}"}
    (chart / "files" / "alerts" / "sidecar-mesh.yaml").write_text(
        yaml.safe_dump(groups)
    )
    (chart / "files" / "dashboards" / "sidecar-mesh.json").write_text(json.dumps(board))
    switches = ("alerts.configMap=true", "prometheusRule.enabled=true")
    settings = [f"--set={switch}" for switch in switches]
    rendered = helm("template", "sidecar", chart, *settings)
    assert rendered.returncode == 0, rendered.stderr
    objects = [each for each in yaml.safe_load_all(rendered.stdout) if each]
    dashboard = find(objects, "ConfigMap", "sidecar-dashboard-mesh")
    assert dashboard["metadata"]["labels"]["grafana_dashboard"] == "1"
    assert json.loads(dashboard["data"]["sidecar-mesh.json"]) == board
    assert find(objects, "PrometheusRule", "sidecar-mesh")["spec"] == groups
    alerts = find(objects, "ConfigMap", "sidecar-alerts")["data"]
    assert yaml.safe_load(alerts["sidecar-mesh.yaml"]) == groups


def test_dashboards_and_alerts_are_also_where_people_look_for_them() -> None:
    for name in ("alerts", "dashboards"):
        assert (CHART.parent / name).resolve() == CHART / "files" / name
