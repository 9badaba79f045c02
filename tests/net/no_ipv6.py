"""A kernel without IPv6, as far as one thread can tell."""

from __future__ import annotations

import ctypes
import errno
import os
import platform
import socket
import struct

_SOCKET = {"x86_64": 41, "aarch64": 198}  # the number of socket(2)
_NO_NEW_PRIVS, _SECCOMP, _FILTER = 38, 22, 2  # linux/prctl.h, linux/seccomp.h
_LOAD, _JUMP_IF_EQUAL, _RETURN = 0x20, 0x15, 0x06  # linux/bpf_common.h
_ALLOW, _ERRNO = 0x7FFF0000, 0x00050000
# struct seccomp_data: the call's number, and the low half of its first argument.
_NUMBER, _FIRST = 0, 16


def forget_ipv6() -> None:
    """Refuse sockets of IPv6 to this thread, and to its children, for ever.

    That is what a kernel does that was booted with ipv6.disable=1.
    """
    program = (
        (_LOAD, 0, 0, _NUMBER),
        (_JUMP_IF_EQUAL, 0, 3, _SOCKET[platform.machine()]),
        (_LOAD, 0, 0, _FIRST),
        (_JUMP_IF_EQUAL, 0, 1, socket.AF_INET6),
        (_RETURN, 0, 0, _ERRNO | errno.EAFNOSUPPORT),
        (_RETURN, 0, 0, _ALLOW),
    )
    code = ctypes.create_string_buffer(
        b"".join(struct.pack("=HBBI", *each) for each in program)
    )
    filters = struct.pack("@HP", len(program), ctypes.addressof(code))
    libc = ctypes.CDLL(None, use_errno=True)
    for arguments in ((_NO_NEW_PRIVS, 1, 0, 0, 0), (_SECCOMP, _FILTER, filters, 0, 0)):
        if libc.prctl(*arguments):
            raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
