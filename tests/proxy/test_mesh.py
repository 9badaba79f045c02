from __future__ import annotations

import logging
import resource
from typing import TYPE_CHECKING

from sidecar.config.model import Limits
from tests.support.mesh import application, configuration, running

if TYPE_CHECKING:
    import pytest


async def test_each_process_has_connections_and_memories_of_its_own() -> None:
    async with application() as app:
        config = configuration(to=app.endpoint)
        async with running(config) as one, running(config) as other:
            for mesh in (one.mesh, other.mesh):
                assert len(mesh.connections) == 0
                assert mesh.no_alpn == set()
            assert one.mesh.connections is not other.mesh.connections
            assert one.mesh.no_alpn is not other.mesh.no_alpn
            assert one.mesh.inbound_gate is not one.mesh.outbound_gate


async def test_there_are_no_more_places_than_descriptors(
    caplog: pytest.LogCaptureFixture,
) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    async with application() as app, running(configuration(to=app.endpoint)) as mesh:
        caplog.clear()
        resource.setrlimit(resource.RLIMIT_NOFILE, (1024, hard))
        try:
            mesh.mesh.resize(Limits(connections=400))
            assert mesh.slots.value == 400
            assert not caplog.records
            mesh.mesh.resize(Limits(connections=5000))
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        room = mesh.slots.value
        assert 400 < room < 512
        assert mesh.samples()["sidecar_connections_limit"] == room
        (warning,) = caplog.records
        assert warning.levelno == logging.WARNING
        mesh.mesh.resize(mesh.mesh.config.limits)
