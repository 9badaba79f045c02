"""Signals that come before there is anybody to hear them.

A container may be told to end at any moment, also while what is in it still imports
its modules. By default SIGTERM would end it then with a status that counts as failure.
The first process of a container has no defaults: the kernel drops the signal, and
whoever sent it waits for the end of the grace period. So this is what runs first, and
it imports next to nothing.
"""

from __future__ import annotations

import os
import signal

# To import typing would take as long as all else before it.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import FrameType
    from typing import Final

_SERVERS: Final = frozenset({"run", "webhook"})

_asked: list[int] = []


def prepare(words: Sequence[str]) -> None:
    """Prepare for early signals, if the command line *words* is that of a server.

    To end is to end at once, and well: nothing has been begun. A reload is no use yet.
    """
    if not words or words[0] not in _SERVERS:
        return
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    if any(each.split("=")[0] == "--worker" for each in words):
        # Its supervisor gets them too, and says what is to be done.
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        signal.signal(signal.SIGINT, signal.SIG_IGN)
    else:
        signal.signal(signal.SIGTERM, _leave)


def remember() -> None:
    """From now on, keep a SIGTERM for whoever asks `asked`: there is what to end."""
    if signal.getsignal(signal.SIGTERM) == _leave:
        signal.signal(signal.SIGTERM, _remember)


def asked() -> list[int]:
    """Give, once, the signals that were kept."""
    kept = _asked.copy()
    _asked.clear()
    return kept


def _leave(_number: int, _frame: FrameType | None) -> None:
    # Not by an exception: an import in whose midst it came might swallow it.
    os._exit(0)


def _remember(number: int, _frame: FrameType | None) -> None:
    _asked.append(number)
