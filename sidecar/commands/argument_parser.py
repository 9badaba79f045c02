"""argparse, with errors that say what to write instead.

A parser makes those of its commands of its own class, so that every command of
`sidecar` speaks like this without knowing it.
"""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any, Final, NoReturn

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    # argparse has no public name for what add_subparsers returns.
    Commands = argparse._SubParsersAction[argparse.ArgumentParser]  # noqa: SLF001

BAD_INPUT: Final = 2

_KINDS: Final[dict[object, str]] = {int: "a whole number", float: "a number"}


class Parser(argparse.ArgumentParser):
    """Says of what it cannot understand: place, rule, what stands there, remedy."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        # What an abbreviation stands for changes when an option is added.
        options.setdefault("allow_abbrev", False)
        # Examples have lines of their own.
        options.setdefault("formatter_class", argparse.RawDescriptionHelpFormatter)
        super().__init__(*arguments, **options)

    def parse(self, words: Sequence[str]) -> argparse.Namespace:
        """Parse the words of a command line.

        Raises:
            SystemExit: They cannot be understood, or only help was asked for.
        """
        parser = self._named_by(words)
        if unknown := parser.unknown_options(words):
            parser.error("; ".join(unknown))
        found, left = self.parse_known_args(words)
        if left:
            parser.error(f"expected no more arguments, got {_quoted(left)}")
        return found

    def error(self, message: str) -> NoReturn:
        """Say what is wrong and where to look, and leave.

        Raises:
            SystemExit: Always.
        """
        what = message.removeprefix("argument ")
        self.exit(BAD_INPUT, f"{self.prog}: {what}\n(see '{self.prog} --help')\n")

    def _named_by(self, words: Sequence[str]) -> Parser:
        """Give the parser of the command that *words* begin with."""
        parser = self
        for word in words:
            below = parser._commands()
            if word not in below:
                break
            parser = below[word]
        return parser

    def _commands(self) -> dict[str, Parser]:
        for action in self._actions:
            if isinstance(action, argparse._SubParsersAction):  # noqa: SLF001
                return dict(action.choices)
        return {}

    def unknown_options(self, words: Sequence[str]) -> list[str]:
        """Find options that there are not: argparse would first miss other ones."""
        known = self._option_string_actions
        found = []
        for word in words:
            if word == "--":  # what follows it is no option
                break
            option = word.partition("=")[0]
            # To argparse, what has a space in it is no option either.
            if option.startswith("--") and option not in known and " " not in word:
                guess = _suggestion(option, known)
                found.append(f"{option}: there is no such option{guess}")
        return found

    # The two that follow are argparse's own, and tests see that it still asks them.

    def _get_value(self, action: argparse.Action, arg_string: str) -> Any:
        # Before it is made into a value of theirs; a command's words are not its name.
        if action.choices is not None and action.nargs != argparse.PARSER:
            self._check_value(action, arg_string)
        try:
            return super()._get_value(action, arg_string)
        except argparse.ArgumentError:
            kind = _KINDS.get(action.type)
            if kind is None:  # it has said what it expects
                raise
            what = f"expected {kind}, got {arg_string!r}"
            raise argparse.ArgumentError(action, what) from None

    def _check_value(self, action: argparse.Action, value: Any) -> None:
        names = [str(choice) for choice in action.choices or ()]
        if not names or str(value) in names:
            return
        guess = _suggestion(str(value), names) or _elsewhere(action, str(value))
        what = f"expected one of {_quoted(names)}, got {str(value)!r}{guess}"
        raise argparse.ArgumentError(action, what)


def _elsewhere(action: argparse.Action, value: str) -> str:
    """Find a command that stands below another one."""
    if isinstance(action, argparse._SubParsersAction):  # noqa: SLF001
        for name, parser in action.choices.items():
            if value in parser._commands():  # noqa: SLF001
                return f" (did you mean '{name} {value}'?)"
    return ""


def _quoted(words: Iterable[str]) -> str:
    return ", ".join(map(repr, words))


def _suggestion(word: str, options: Iterable[str]) -> str:
    # Not at the top: nobody needs it but who has made a mistake.
    from sidecar.config.wording import suggestion  # noqa: PLC0415

    return suggestion(word, options)
