"""Runs `up` as the command line does, in a process of its own that tests can kill.

python -m tests.platform.product DATA
"""

import sys
from collections.abc import Mapping
from pathlib import Path

from shared.platform import supervisor
from shared.platform.stack import Stack


def say(text: str) -> None:
    print(text, flush=True)  # noqa: T201 - what the test reads.


def prepare(stack: Stack, settings: Mapping[str, str]) -> None:
    """Do what the product does here, as far as a stand-in needs it."""
    if "iacs_approval" not in stack.postgres.databases():
        stack.postgres.create_database("iacs_approval")
    say(f"prepared {settings['IACS_APPROVAL_API_PORT']}")


if __name__ == "__main__":
    supervisor.up(
        Path(sys.argv[1]),
        detach=False,
        prepare=prepare,
        on_ready=lambda origin: say(f"ready {origin}"),
        progress=say,
    )
