"""Runs `up` as the command line does, in a process of its own that tests can kill.

python -m tests.platform.product DATA
"""

import sys
from pathlib import Path

from shared.platform import supervisor


def say(text: str) -> None:
    print(text, flush=True)  # noqa: T201 - what the test reads.


if __name__ == "__main__":
    supervisor.up(
        Path(sys.argv[1]),
        detach=False,
        on_ready=lambda origin: say(f"ready {origin}"),
        progress=say,
    )
