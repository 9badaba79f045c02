from __future__ import annotations

import pytest

from sidecar.cli import main


@pytest.mark.parametrize("command", [(), ("explain",), ("test",)])
def test_the_help_has_examples_and_what_the_exit_status_means(
    command: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as left:
        main(["policy", *command, "--help"])
    assert left.value.code == 0
    text = capsys.readouterr().out
    assert f"examples:\n  sidecar policy {' '.join(command) or 'explain'} " in text
    status = {
        (): "",
        ("explain",): "exit status: 0 allowed (audited, too), 1 denied, 2 the input",
        ("test",): "exit status: 0 all hold, 1 one does not",
    }
    assert status[command] in text


def test_a_command_below_is_needed(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as left:
        main(["policy"])
    assert left.value.code == 2
    assert "the following arguments are required: COMMAND" in capsys.readouterr().err
