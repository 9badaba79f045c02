from __future__ import annotations

import io
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import yaml

from sidecar.commands.policy_source import (
    NoConfigMap,
    read_config_maps,
    read_rulebook,
    rulebook_named,
)
from sidecar.config.problems import ConfigError
from tests.config.test_manifests import CONFIG, POLICY, manifest
from tests.policytools import books

if TYPE_CHECKING:
    from sidecar.config.manifests import ConfigMap

SHOP = manifest(**{"sidecar.yaml": CONFIG, "policy.yaml": POLICY})
OTHER = {**SHOP, "metadata": {"name": "sidecar", "namespace": "other"}}
SETTINGS = manifest(**{"injection.yaml": "image: sidecar:1\n"})


def problem(error: pytest.ExceptionInfo[ConfigError]) -> str:
    (found,) = error.value.problems
    return found.located


def config_maps(path: Path, *documents: object) -> tuple[ConfigMap, ...]:
    path.write_text(yaml.safe_dump_all(documents))
    return read_config_maps(path)


def test_files_are_read_as_run_reads_them(tmp_path: Path) -> None:
    (tmp_path / "policy.yaml").write_text(books.POLICY)
    (tmp_path / "sidecar.yaml").write_text(books.CONFIG)
    whole = read_rulebook(tmp_path / "sidecar.yaml", None)
    alone = read_rulebook(tmp_path / "policy.yaml", None)
    assert whole.policy.rules == alone.policy.rules
    assert (whole.config is None, alone.config is None) == (False, True)


def test_the_workload_api_of_the_environment_counts(tmp_path: Path) -> None:
    config = books.CONFIG[books.CONFIG.index("inbound:") :]
    (tmp_path / "policy.yaml").write_text(books.POLICY)
    path = tmp_path / "sidecar.yaml"
    path.write_text(config)
    with pytest.raises(ConfigError):
        read_rulebook(path, None)
    assert read_rulebook(path, "unix:///run/agent.sock").config is not None


def test_a_file_that_is_not_there_is_a_problem(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as error:
        read_rulebook(tmp_path / "absent", None)
    assert problem(error) == f"{tmp_path}/absent: no such file"


def test_the_only_config_map_needs_no_name(tmp_path: Path) -> None:
    maps = config_maps(tmp_path / "all.yaml", SETTINGS, SHOP)
    assert rulebook_named(maps, None).source == "configmap shop/sidecar"


def test_one_of_several_is_named(tmp_path: Path) -> None:
    maps = config_maps(tmp_path / "all.yaml", SHOP, OTHER)
    assert rulebook_named(maps, "other/sidecar").source == "configmap other/sidecar"
    with pytest.raises(NoConfigMap) as error:
        rulebook_named(maps, None)
    assert str(error.value) == (
        "expected one of 'shop/sidecar', 'other/sidecar', got none"
    )
    with pytest.raises(NoConfigMap) as error:
        rulebook_named(maps, "shop/sidcar")
    assert str(error.value).endswith(
        "got 'shop/sidcar' (did you mean 'shop/sidecar'?)",
    )


def test_manifests_in_the_place_of_a_configuration_are_told_where_they_belong(
    tmp_path: Path,
) -> None:
    path = tmp_path / "all.yaml"
    for documents in ([SHOP], [SHOP, OTHER]):
        path.write_text(yaml.safe_dump_all(documents))
        with pytest.raises(ConfigError, match=r"\(name (it|them) with --manifests\)"):
            read_rulebook(path, None)
    for broken in ("a: 1\n---\nb: 1\n", "a: [\n"):
        path.write_text(broken)
        with pytest.raises(ConfigError) as error:
            read_rulebook(path, None)
        assert "--manifests" not in problem(error)


def test_manifests_without_a_configuration_are_a_problem(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as error:
        config_maps(tmp_path / "all.yaml", SETTINGS)
    assert problem(error).endswith(
        "all.yaml: no ConfigMap among the manifests has 'sidecar.yaml'"
    )
    with pytest.raises(ConfigError) as error:
        read_config_maps(tmp_path)
    assert problem(error) == f"{tmp_path}: a directory, expected a file"


def test_standard_input_is_read_up_to_a_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    def piped(data: bytes) -> Path:
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(data)))
        return Path("-")

    assert read_rulebook(piped(b"rules: []\n"), None).source == ("standard input")
    (found,) = read_config_maps(piped(yaml.safe_dump(SHOP).encode()))
    assert found.name == "configmap shop/sidecar"
    with pytest.raises(ConfigError) as error:
        read_config_maps(piped(b"#" * (64 * 1024 * 1024 + 1)))
    assert problem(error) == "standard input: larger than 64 MiB"
