from __future__ import annotations

from tests.support.mesh import application, configuration, running


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
