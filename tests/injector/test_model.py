from __future__ import annotations

import pytest
from attrs import evolve

from sidecar.injector.model import (
    InjectionSettings,
    KubernetesVersion,
    NativeSidecar,
    Refused,
)


@pytest.mark.parametrize(
    ("text", "minor"),
    [("1.29", 29), ("v1.35.2", 35), ("1.30+", 30), ("1.31-gke.1", 31)],
)
def test_a_version_is_read_however_a_cluster_writes_it(text: str, minor: int) -> None:
    version = KubernetesVersion.parse(text)
    assert version == KubernetesVersion(1, minor)
    assert str(version) == f"1.{minor}"


@pytest.mark.parametrize("text", ["", "1", "one.two", "1.1000", "2024"])
def test_no_version_is_called_that(text: str) -> None:
    with pytest.raises(ValueError, match="expected a version"):
        KubernetesVersion.parse(text)


@pytest.mark.parametrize(
    ("choice", "version", "native"),
    [
        (NativeSidecar.AUTO, None, False),
        (NativeSidecar.AUTO, KubernetesVersion(1, 28), False),
        (NativeSidecar.AUTO, KubernetesVersion(1, 29), True),
        (NativeSidecar.AUTO, KubernetesVersion(2, 0), True),
        (NativeSidecar.ALWAYS, None, True),
        (NativeSidecar.NEVER, KubernetesVersion(1, 35), False),
    ],
)
def test_a_sidecar_is_native_where_kubernetes_knows_them(
    choice: NativeSidecar, version: KubernetesVersion | None, *, native: bool
) -> None:
    settings = evolve(
        InjectionSettings("x"), native_sidecar=choice, kubernetes_version=version
    )
    assert settings.native is native


def test_a_refusal_says_all_its_problems_in_one_sentence() -> None:
    assert Refused(("a: b", "c: d")).message == "a: b; c: d"
