"""Starts the product where it can be tormented: its mail server misbehaves on request, no hour's limit is met.

python -m tests.torture.stand FOLDER
"""

import os
import subprocess
import sys
from pathlib import Path

from services import cli
from shared.platform import supervisor
from shared.testing.product import Product

_NO_LIMIT = {"IACS_REGISTRATION_FILINGS_AN_HOUR": "1000000"}
"""All callers come from one address, as no people do."""


class Tormented(Product):
    """The product on a stack of its own, with faults."""

    def start(self) -> None:
        """Start it, detached."""
        done = subprocess.run(
            [sys.executable, "-m", "tests.torture.stand", str(self.data)],
            capture_output=True,
            text=True,
            check=False,
            timeout=180,
            env={**os.environ, **_NO_LIMIT},
        )
        assert done.returncode == 0, f"it did not start:\n{done.stdout}\n{done.stderr}"


if __name__ == "__main__":
    supervisor.up(Path(sys.argv[1]), detach=True, modules=cli.modules(), faults=True)
