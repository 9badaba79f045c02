"""Running `sidecar certs` in a test."""

from __future__ import annotations

import argparse
import importlib

from sidecar.certs.command import add_parser


def certs(*arguments: object) -> int:
    """Run `sidecar certs` with these arguments; give its exit status."""
    parser = argparse.ArgumentParser(prog="sidecar")
    add_parser(parser.add_subparsers(required=True))
    parsed = parser.parse_args(["certs", *map(str, arguments)])
    status: int = importlib.import_module(parsed.command).main(parsed)
    return status
