"""Draw deploy/k8s/dashboards/sidecar.png: the dashboard of two sidecars, at work for a while.

    python -m tests.integration.pictured [SECONDS]

What happens to them is what the tests do to them, again and again. Needs matplotlib.
"""

from __future__ import annotations

import math
import random
import sys
import tempfile
import time
from pathlib import Path

from deploy.k8s.grafana.picture import Source, draw
from tests.integration.observed import Observed, observed
from tests.support.helm import CHART

PICTURE = CHART / "files" / "dashboards" / "sidecar.png"


def work(stage: Observed, seconds: float) -> None:
    """Let all sorts of things happen, most of them good."""
    dice = random.Random(1)
    stage.everything()
    begin = time.monotonic()
    rare = [seconds * 0.3, seconds * 0.7]
    while (passed := time.monotonic() - begin) < seconds:
        busy = 1.2 + math.sin(passed / 9)
        for _ in range(round(busy * dice.uniform(2, 5))):
            stage.let_in()
        if dice.random() < 0.25:
            bad = [stage.denied, stage.impostor, stage.plaintext]
            dice.choice([*bad, stage.without_certificate])()
        if dice.random() < 0.1:
            stage.kept.close() if dice.random() < 0.2 else stage.keep_one_open()
        if rare and passed > rare[0]:
            rare.pop(0)
            stage.crash()
            stage.reload()
            stage.mend()
        time.sleep(dice.uniform(0.05, 0.3))


if __name__ == "__main__":
    seconds = float(sys.argv[1]) if len(sys.argv) > 1 else 90
    with (
        tempfile.TemporaryDirectory() as folder,
        observed(Path(folder)) as stage,
    ):
        work(stage, seconds)
        now = time.time()  # noqa: TID251
        draw(Source(stage.prometheus.url, now - seconds, now), PICTURE)
