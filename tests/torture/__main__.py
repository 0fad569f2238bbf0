"""Torments the product: `make torture KILLS=n SEED=s`."""

import argparse
import logging
import secrets
import shutil
import sys
import tempfile
import time
from pathlib import Path

from shared.testing.torture.troubles import plan
from tests.torture.run import torture

if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Torment the product and judge whether it kept its promises")
    parser.add_argument("--kills", type=int, default=10, help="How many troubles")
    parser.add_argument("--seed", type=int, help="What is drawn; a random one by default")
    asked = parser.parse_args()
    seed = secrets.randbelow(10**6) if asked.seed is None else asked.seed
    print(f"Seed {seed}, {asked.kills} troubles", flush=True)  # noqa: T201 - a command speaks.
    logging.disable()  # Kafka's clients tell of each outage, and we make them.
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="iacs torture ") as folder:
        holds = False
        try:
            outcome = torture(Path(folder), seed, plan(seed, asked.kills))
            holds = outcome.holds
        finally:
            logs = Path(folder) / "data" / "logs"
            if not holds and logs.exists():
                kept = shutil.copytree(logs, tempfile.mkdtemp(prefix="iacs torture logs "), dirs_exist_ok=True)
                print(f"What every part logged is kept in {kept}")  # noqa: T201
    print(outcome.report)  # noqa: T201
    print(f"  · it took {time.monotonic() - began:.0f} s")  # noqa: T201
    if not outcome.holds:
        print(outcome.happened)  # noqa: T201
        print(f"Again: make torture KILLS={asked.kills} SEED={seed}")  # noqa: T201
    sys.exit(not outcome.holds)
