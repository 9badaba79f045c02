"""Annotations of a pod, or its namespace, into settings for that pod alone."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final, TypeAlias

from attrs import evolve

from sidecar.config.model import LogLevel
from sidecar.config.place import Invalid
from sidecar.config.readers import choice
from sidecar.config.wording import shown, suggestion
from sidecar.injector.model import (
    INJECT,
    PREFIX,
    STATUS,
    InjectionSettings,
    NativeSidecar,
)
from sidecar.injector.quantity import parse_quantity, too_much
from sidecar.injector.values import parse_object_name
from sidecar.redirect.options import OPTIONS, OptionsError, parse_options

Setter: TypeAlias = Callable[[InjectionSettings, str], InjectionSettings]

REDIRECT: Final = tuple(
    each.name
    for each in OPTIONS
    if each.name.startswith(("inbound_mode", "include_", "exclude_"))
)
"""Which options of `sidecar redirect` an annotation can give."""

_MOST_UNKNOWN: Final = 20
_WORDS: Final = {"true": True, "enabled": True, "false": False, "disabled": False}


class AnnotationsError(ValueError):
    """Annotations were refused; carries every problem.

    Attributes:
        problems: At least one.
    """

    def __init__(self, problems: tuple[str, ...]) -> None:
        self.problems = problems
        super().__init__("; ".join(problems))


def parse_switch(text: str) -> bool:
    """Read a word for on or off.

    Raises:
        ValueError: It is none.
    """
    try:
        return _WORDS[text.strip().lower()]
    except KeyError:
        raise ValueError(
            f"expected 'enabled' or 'disabled' (or 'true', 'false'), got {shown(text)}"
            f"{suggestion(text, _WORDS)}"
        ) from None


def _native(text: str) -> NativeSidecar:
    if text in {*NativeSidecar}:
        return NativeSidecar(text)
    return NativeSidecar.ALWAYS if parse_switch(text) else NativeSidecar.NEVER


def _log_level(text: str) -> LogLevel:
    return choice(LogLevel)(text, None)


def _setter(name: str, parse: Callable[[str], Any]) -> Setter:
    return lambda settings, text: evolve(settings, **{name: parse(text)})


def _resource(name: str) -> Setter:
    def put(settings: InjectionSettings, text: str) -> InjectionSettings:
        parse_quantity(text)
        return evolve(settings, resources=evolve(settings.resources, **{name: text}))

    return put


def _option(name: str) -> Setter:
    def put(settings: InjectionSettings, text: str) -> InjectionSettings:
        redirect = settings.redirect
        options = {**redirect.options, name: text}
        return evolve(settings, redirect=evolve(redirect, options=options))

    return put


SETTERS: Final[Mapping[str, Setter]] = {
    PREFIX + "config": _setter("config_map", parse_object_name),
    PREFIX + "log-level": _setter("log_level", _log_level),
    PREFIX + "native-sidecar": _setter("native_sidecar", _native),
    PREFIX + "hold-application": _setter("hold_application", parse_switch),
    PREFIX + "rewrite-probes": _setter("rewrite_probes", parse_switch),
    **{
        f"{PREFIX}{name.replace('_', '-')}": _resource(name)
        for name in ("cpu_request", "memory_request", "cpu_limit", "memory_limit")
    },
    **{f"{PREFIX}{name.replace('_', '-')}": _option(name) for name in REDIRECT},
}
"""What each annotation changes."""


def with_annotations(
    settings: InjectionSettings,
    annotations: Mapping[str, str],
    of_namespace: Mapping[str, str],
) -> InjectionSettings:
    """Give the settings of one pod; what it says itself wins over its namespace.

    Raises:
        AnnotationsError: Annotations of ours are unknown or wrong; others are not
            looked at.
    """
    problems = _unknown(annotations)
    for name, put in SETTERS.items():
        text = annotations.get(name, of_namespace.get(name))
        if text is None:
            continue
        try:
            settings = put(settings, text.strip())
        except Invalid as error:
            problems += [f"annotation {name}: {each.what}" for each in error.findings]
        except ValueError as error:
            problems.append(f"annotation {name}: {error}")
    problems += [
        f"annotation {PREFIX}{key}-request: {what}"
        for key, what in too_much(settings.resources)
    ]
    problems += _wrong_options(settings)
    if problems:
        raise AnnotationsError(tuple(problems))
    return settings


def _unknown(annotations: Mapping[str, str]) -> list[str]:
    known = {*SETTERS, INJECT, STATUS}
    unknown = [
        name for name in annotations if name.startswith(PREFIX) and name not in known
    ]
    # Guessing takes a while, and whoever may create a pod may send any number.
    problems = [
        f"annotation {name}: unknown{_guess(name)}" for name in unknown[:_MOST_UNKNOWN]
    ]
    if len(unknown) > _MOST_UNKNOWN:
        problems.append(f"annotations: {len(unknown) - _MOST_UNKNOWN} more are unknown")
    return problems


def _guess(name: str) -> str:
    """Guess what was meant; that all begin alike makes none of them alike."""
    known = (each.removeprefix(PREFIX) for each in SETTERS)
    guess = suggestion(name.removeprefix(PREFIX), known)
    return guess.replace("mean '", f"mean '{PREFIX}")


def _wrong_options(settings: InjectionSettings) -> list[str]:
    """Let the command that will get the options judge them, one with another."""
    try:
        parse_options(settings.redirect.options, {})
    except OptionsError as error:
        return [
            f"annotation {PREFIX}{each.where.removeprefix('--')}: {each.what}"
            for each in error.problems
        ]
    return []
