"""What the doctor says: one thing that was looked at, and what came of it."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING

from attrs import frozen

if TYPE_CHECKING:
    from sidecar.redirect.model import Family


class Level(StrEnum):
    """How a finding is meant."""

    OK = "ok"
    NOTE = "note"
    """Worth knowing; nothing is wrong."""
    UNTESTED = "untested"
    """Not looked at, and why."""
    PROBLEM = "problem"


class Check(StrEnum):
    """What is looked at."""

    RULES = "rules"
    LISTENER = "listener"
    CAPTURE = "capture"
    """What has to go to the sidecar."""
    BYPASS = "bypass"
    """What has to go past it."""
    ANSWER = "answer"
    """With TPROXY: whether the sidecar gets what the application answers."""
    USER = "user"
    GUARD = "guard"
    """What the configuration believes it guards."""
    SERVICE = "service"


@frozen
class Finding:
    """One line of the report.

    Attributes:
        what: What was found.
        why: Why it matters; empty where nothing is wrong.
        remedy: What to do about it; empty likewise.
        family: Of which protocol, where it is of one.
    """

    check: Check
    level: Level
    what: str
    why: str = ""
    remedy: str = ""
    family: Family | None = None
