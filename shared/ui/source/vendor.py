"""Copy the fonts and icons that the compiled USWDS names, and record in VENDOR.json what came from where."""

import hashlib
import json
import re
import shutil
import sys
from pathlib import Path

STATIC = Path(__file__).parents[1] / "static"
STYLES = STATIC / "css" / "uswds.css"

# The licence texts stand in LICENSES/; USWDS.md there says the same in the publisher's words.
LICENCES = {"css": "CC0-1.0 AND MIT", "fonts": "OFL-1.1", "img": "Apache-2.0 AND CC0-1.0"}


def main(uswds: Path) -> None:
    """Replace the vendored files by those of the unpacked package `uswds`, and rewrite the record."""
    for entry in json.loads((STATIC.parent / "VENDOR.json").read_text()):
        if entry["file"] != "css/uswds.css":
            (STATIC / entry["file"]).unlink(missing_ok=True)

    files = sorted(set(re.findall(r"url\(\"?\.\./([^\")]+)", STYLES.read_text())))
    for file in files:
        (STATIC / file).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(uswds / "dist" / file, STATIC / file)
    shutil.copyfile(uswds / "LICENSE.md", STATIC.parent / "LICENSES" / "USWDS.md")

    version = json.loads((uswds / "package.json").read_text())["version"]
    record = [
        {
            "file": file,
            "package": "@uswds/uswds",
            "version": version,
            "sha256": hashlib.sha256((STATIC / file).read_bytes()).hexdigest(),
            "licence": LICENCES[file.split("/")[0]],
        }
        for file in ["css/uswds.css", *files]
    ]
    (STATIC.parent / "VENDOR.json").write_text(json.dumps(record, indent=2) + "\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
