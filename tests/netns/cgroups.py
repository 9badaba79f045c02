"""Control groups, and programs in them as a socket-level load balancer has. Needs root.

The programs are those of Cilium in little (bpf/bpf_sock.c): one gives connect() another
address than it was asked for, one has getpeername() answer with the first again.
"""

from __future__ import annotations

import ctypes
import os
import platform
import struct
import sys
from contextlib import contextmanager
from ipaddress import ip_address
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Final

from attrs import frozen

from tests.netns.pods import run
from tests.support.programs import require

if TYPE_CHECKING:
    from collections.abc import Iterator

_SYSCALL: Final = {"x86_64": 321, "aarch64": 280}
# linux/bpf.h
_PROG_LOAD, _PROG_ATTACH = 5, 8
_CGROUP_SOCK_ADDR: Final = 18
_CONNECT: Final = {4: 10, 6: 11}
_GETPEERNAME: Final = {4: 29, 6: 30}
_LAST_WORD: Final = {4: 4, 6: 20}
"""Of the address, in struct bpf_sock_addr."""


@frozen
class Cgroup:
    """A control group of its own."""

    path: Path

    def command(self, *words: str | Path) -> tuple[str | Path, ...]:
        """Give what runs *words* in there."""
        enter = 'echo $$ > "$0" && exec "$@"'
        return ("/bin/sh", "-c", enter, self.path / "cgroup.procs", *words)

    def balance(self, service: str, backend: str) -> None:
        """Let sockets that are for *service* be for *backend*, and not know it.

        The addresses are alike but for their last four bytes.
        """
        version = ip_address(service).version
        self._attach(_CONNECT[version], service, backend)
        self._attach(_GETPEERNAME[version], backend, service)

    def _attach(self, hook: int, old: str, new: str) -> None:
        at = _LAST_WORD[ip_address(old).version]
        program = _load(hook, _replace(at, _word(old), _word(new)))
        folder = os.open(self.path, os.O_RDONLY)
        try:
            _bpf(_PROG_ATTACH, struct.pack("=IIII", folder, program, hook, 0))
        finally:
            os.close(folder)
            os.close(program)


@contextmanager
def new_cgroup() -> Iterator[Cgroup]:
    """Make a cgroup, in a mount of its own: where others are differs everywhere."""
    with TemporaryDirectory() as folder:
        run(require("mount"), "-t", "cgroup2", "none", folder)
        try:
            path = Path(folder, f"sidecar-{os.getpid()}")
            path.mkdir()
            try:
                yield Cgroup(path)
            finally:
                path.rmdir()
        finally:
            run(require("umount"), folder)


def _word(address: str) -> int:
    return int.from_bytes(ip_address(address).packed[-4:], sys.byteorder)


def _replace(at: int, old: int, new: int) -> bytes:
    """Write: if the word of the context at *at* is *old*, make it *new*; give 1."""

    def instruction(code: int, dst: int, src: int, off: int, imm: int) -> bytes:
        # An immediate is signed, and an address is not.
        signed = struct.unpack("=i", struct.pack("=I", imm))[0]
        return struct.pack("=BBhi", code, dst | src << 4, off, signed)

    return b"".join(
        (
            instruction(0x61, 2, 1, at, 0),  # r2 = *(u32 *)(r1 + at)
            instruction(0x56, 2, 0, 2, old),  # if w2 != old goto +2
            instruction(0xB4, 3, 0, 0, new),  # w3 = new
            instruction(0x63, 1, 3, at, 0),  # *(u32 *)(r1 + at) = w3
            instruction(0xB7, 0, 0, 0, 1),  # r0 = 1
            instruction(0x95, 0, 0, 0, 0),  # exit
        )
    )


def _load(hook: int, code: bytes) -> int:
    instructions = ctypes.create_string_buffer(code, len(code))
    license_ = ctypes.create_string_buffer(b"GPL")
    attributes = struct.pack(
        "=IIQQIIQII16sII",
        *(_CGROUP_SOCK_ADDR, len(code) // 8),
        *(ctypes.addressof(instructions), ctypes.addressof(license_)),
        *(0, 0, 0, 0, 0, b"sidecar_test", 0, hook),
    )
    return _bpf(_PROG_LOAD, attributes)


def _bpf(command: int, attributes: bytes) -> int:
    libc = ctypes.CDLL(None, use_errno=True)
    buffer = ctypes.create_string_buffer(attributes, len(attributes))
    number = _SYSCALL[platform.machine()]
    result: int = libc.syscall(number, command, buffer, len(attributes))
    if result < 0:
        raise OSError(ctypes.get_errno(), "bpf")
    return result
