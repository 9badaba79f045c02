"""Which iptables there are, and two pods with a sidecar, two without."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from sidecar.redirect.model import Backend
from tests.netns.pods import Namespace, need_root
from tests.netns.world import World, new_world
from tests.support.programs import require

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="package")
def backends() -> list[Backend]:
    """Which backends this kernel has tables for; with none, the test fails."""
    need_root()
    require("iptables")
    found = []
    with Namespace.new() as space:
        for backend in (Backend.NFT, Backend.LEGACY):
            programs = [f"iptables-{backend}", f"ip6tables-{backend}"]
            try:
                for program in programs:
                    space.run(require(program), "-t", "nat", "-S")
            except AssertionError as error:
                print(f"no {backend} tables in this kernel: {error}")  # noqa: T201
            else:
                found.append(backend)
    if not found:
        pytest.fail("this kernel has neither nft nor legacy tables for iptables")
    return found


@pytest.fixture(scope="package", params=[Backend.NFT, Backend.LEGACY])
def backend(request: pytest.FixtureRequest, backends: list[Backend]) -> Backend:
    wanted: Backend = request.param
    if wanted not in backends:
        pytest.skip(f"this kernel has no {wanted} tables, and the others are tested")
    return wanted


@pytest.fixture(params=[False, True], ids=["ipv4", "ipv6"])
def ipv6(request: pytest.FixtureRequest) -> bool:
    """Over which family; an index into a pod's addresses, too."""
    return bool(request.param)


@pytest.fixture
def space(backends: list[Backend]) -> Iterator[Namespace]:
    """An empty namespace."""
    assert backends
    with Namespace.new() as space:
        yield space


@pytest.fixture(scope="package")
def world(
    backend: Backend, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[World]:
    """Pods that tests share: nobody leaves them other than they were."""
    with new_world(tmp_path_factory.mktemp("pods"), backend) as world:
        yield world
