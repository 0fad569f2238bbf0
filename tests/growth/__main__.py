"""Lets months pass over the product under load: `make growth MONTHS=14`."""

import argparse
import sys
import tempfile
from pathlib import Path

from rich.console import Console
from rich.table import Table

from tests.growth.run import Growth, begin
from tests.torture.stand import Tormented


def _table(growth: Growth) -> Table:
    """Return the rows of each table that ever had some, month by month."""
    table = Table("table", *(str(n) for n, _ in enumerate(growth.months, start=1)), title="Rows after each month")
    for name in growth.months[-1].rows:
        counts = [month.rows[name] for month in growth.months]
        if any(counts):
            table.add_row(name, *map(str, counts))
    return table


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Let months pass under load and judge what the tables keep")
    parser.add_argument("--months", type=int, default=14)
    asked = parser.parse_args()
    console = Console(width=200)
    with tempfile.TemporaryDirectory(prefix="iacs growth ") as folder:
        product = Tormented(Path(folder) / "data")
        product.start()
        try:
            growth = begin(product)
            for number in range(1, asked.months + 1):
                growth.pass_month()
                console.print(f"{number} months have passed")
            console.print(_table(growth))
            faults = list(growth.faults())
        finally:
            product.stop()
    for fault in faults:
        console.print(f"[red]✗[/red] {fault}")
    console.print("Every table holds what it is meant to keep." if not faults else f"{len(faults)} faults")
    sys.exit(bool(faults))
