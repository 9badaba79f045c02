"""`helm install` and `helm upgrade`, by a real Helm, into what it takes for a cluster."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import yaml

from tests.support.helm import CHART, NAMESPACE, helm
from tests.support.stand_in_cluster import StandInCluster, standing_in

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Iterator
    from pathlib import Path

PEER = "spiffe://cluster.local/ns/shop/sa/frontend"
RULE = {"name": "frontend", "action": "allow", "peers": [PEER]}
SOUND: dict[str, Any] = {"namespaces": {"shop": {"policy": {"rules": [RULE]}}}}
TWICE: dict[str, Any] = {"namespaces": {"shop": {"policy": {"rules": [RULE, RULE]}}}}
SENTENCE = (
    "policy.yaml:8: rules[1].name: duplicate name 'frontend', first at rules[0].name"
)


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[StandInCluster]:
    with standing_in(tmp_path, NAMESPACE, "shop") as cluster:
        yield cluster


def ask(
    cluster: StandInCluster, verb: str, values: dict[str, Any]
) -> subprocess.CompletedProcess[str]:
    file = cluster.folder / "values.yaml"
    file.write_text(yaml.safe_dump(values))
    where = ("--namespace", NAMESPACE, "--kube-apiserver", cluster.url)
    patience = ("--timeout", "60s")
    return helm(verb, "sidecar", CHART, *where, *patience, "--values", file)


def policy(cluster: StandInCluster) -> str:
    config_map = cluster.objects["/api/v1/namespaces/shop/configmaps"]["sidecar"]
    text: str = config_map["data"]["policy.yaml"]
    return text


def test_what_is_sound_is_checked_and_then_installed(cluster: StandInCluster) -> None:
    installed = ask(cluster, "install", SOUND)
    assert installed.returncode == 0, installed.stderr
    assert "configmap shop/sidecar: ok" in cluster.logs["sidecar-check"]
    assert "sidecar-check" not in cluster.names("Job"), "it is gone when it is done"
    assert PEER in policy(cluster)
    assert cluster.names("MutatingWebhookConfiguration") == ["sidecar-webhook"]
    assert "Configured: shop." in installed.stdout


def test_a_wrong_policy_fails_the_installation_with_the_sentence_of_the_check(
    cluster: StandInCluster,
) -> None:
    refused = ask(cluster, "install", TWICE)
    assert refused.returncode != 0
    assert SENTENCE in refused.stderr
    assert_nothing_is_installed(cluster)


def test_a_namespace_that_is_not_there_fails_it_before_anything_is_made(
    cluster: StandInCluster,
) -> None:
    refused = ask(cluster, "install", {"namespaces": {"shop": {}, "shopp": {}}})
    assert refused.returncode != 0
    assert "namespaces.shopp: there is no such namespace" in refused.stderr
    assert_nothing_is_installed(cluster)


def test_a_wrong_policy_leaves_what_is_installed_as_it_is(
    cluster: StandInCluster,
) -> None:
    assert ask(cluster, "install", SOUND).returncode == 0
    before = policy(cluster)
    refused = ask(cluster, "upgrade", TWICE)
    assert refused.returncode != 0
    assert SENTENCE in refused.stderr
    assert policy(cluster) == before
    changed = {"namespaces": {"shop": {"policy": {"default": "audit"}}}}
    upgraded = ask(cluster, "upgrade", changed)
    assert upgraded.returncode == 0, upgraded.stderr
    assert "default: audit" in policy(cluster)


def assert_nothing_is_installed(cluster: StandInCluster) -> None:
    for kind in ("Deployment", "MutatingWebhookConfiguration", "ClusterRole", "Secret"):
        assert cluster.names(kind) == []
    assert "sidecar" not in cluster.names("ConfigMap")


def test_every_upgrade_has_the_certificate_looked_at(cluster: StandInCluster) -> None:
    # Who deletes the webhook's configuration gets it back without its CA; a Job that
    # has run does not run again.
    jobs = []
    for verb in ("install", "upgrade"):
        done = ask(cluster, verb, SOUND)
        assert done.returncode == 0, done.stderr
        jobs += cluster.names("Job")
    assert len(jobs) == 2
    assert len(set(jobs)) == 2
