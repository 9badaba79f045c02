"""`scripts/conformance-matrix`: writes certs/conformance.md anew."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

from certs.matrix.document import document
from certs.matrix.endpoint import ask, find, prepare
from certs.matrix.proxies import PROXIES


def main() -> int:
    """Ask every proxy that is installed; give the exit status."""
    with tempfile.TemporaryDirectory(prefix="matrix-") as name:
        folder = Path(name)
        state = folder / "state"
        prepare(state)
        asked, missing = [], []
        for number, proxy in enumerate(PROXIES):
            program = find(proxy)
            if program is None:
                sys.stderr.write(f"{proxy.name}: {proxy.program} is not installed\n")
                missing.append(proxy)
                continue
            sys.stderr.write(f"asking {proxy.name}\n")
            try:
                asked.append(ask(proxy, program, state, folder / str(number)))
            except subprocess.CalledProcessError as error:
                sys.stderr.write(f"{proxy.name}: {error}\n")
                return 1
    text = document(asked, missing)
    Path(__file__).parents[1].joinpath("conformance.md").write_text(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
