from __future__ import annotations

import platform
import socket

from bench.machine import cpu_model, describe


def test_the_cpu_is_named_as_the_kernel_names_it() -> None:
    text = "processor : 0\nmodel name\t: A CPU @ 2.50GHz\n\nmodel name\t: Another\n"
    assert cpu_model(text) == "A CPU @ 2.50GHz"


def test_a_cpu_without_a_name_is_its_architecture() -> None:
    assert cpu_model("processor : 0\nBogoMIPS : 50.00\n") == platform.machine()


def test_the_description_does_not_say_whose_machine_it_is() -> None:
    assert socket.gethostname() not in str(list(describe().values()))
