"""Make the script that draws charts on pages: Vega, Vega-Lite and the interpreter in one file.

``python -m actlas.scripts.dev.charts_runtime`` needs npm and the network; the packages and their
digests are those of ``runtime/package-lock.json``. Transforms that no chart of actlas uses (maps,
trees, forces, word clouds) are left out, which saves a third.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
import tempfile
from pathlib import Path

HERE = Path(__file__).parent / "runtime"
TARGET = Path(__file__).parents[1] / "charts"
FILES = ("entry.js", "package.json", "package-lock.json")
OPTIONS = (
    *("--bundle", "--minify", "--format=iife", "--global-name=actlasVega", "--target=es2022"),
    # of all of Vega, Vega-Lite takes four helpers, which vega-util has too
    *("--alias:vega=vega-util", "--legal-comments=none", "--charset=ascii"),
)


def main() -> None:
    """Build the file, and write what it is made of and under which licences beside it."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for file in FILES:
            shutil.copy(HERE / file, folder)
        run = {"cwd": folder, "check": True}
        subprocess.run(["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund"], **run)  # type: ignore[call-overload]
        made = ["--outfile=vega.min.js", "--metafile=meta.json"]
        subprocess.run(["npx", "esbuild", "entry.js", *OPTIONS, *made], **run)  # type: ignore[call-overload]
        content = (folder / "vega.min.js").read_bytes()
        if b"</script" in content.lower() or b"<!--" in content:
            raise ValueError("the file could not stand in a script element")
        packages = bundled(folder)
        (TARGET / "vega.min.js").write_bytes(content)
        record = {"sha256": hashlib.sha256(content).hexdigest(), "packages": versions(packages)}
        (TARGET / "vega.json").write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
        (TARGET / "vega.LICENSES.txt").write_text(licences(packages), encoding="utf-8")


def bundled(folder: Path) -> list[Path]:
    """Return the folders of the packages whose code is in the file."""
    found = set()
    for name in json.loads((folder / "meta.json").read_text(encoding="utf-8"))["inputs"]:
        if "node_modules/" in name:
            head, _, rest = name.rpartition("node_modules/")
            parts = rest.split("/")[: 2 if rest.startswith("@") else 1]
            found.add(folder / f"{head}node_modules" / "/".join(parts))
    return sorted(found, key=lambda path: (path.name, str(path)))


def versions(packages: list[Path]) -> dict[str, str]:
    """Return the version of each package."""
    found = {}
    for path in packages:
        described = json.loads((path / "package.json").read_text(encoding="utf-8"))
        found[str(described["name"])] = str(described["version"])
    return found


def licences(packages: list[Path]) -> str:
    """Return the licence texts, each once, below the names of the packages that have it."""
    texts: dict[str, list[str]] = {}
    for path in packages:
        text = next(path.glob("LICEN*")).read_text(encoding="utf-8").strip()
        name, version = next(iter(versions([path]).items()))
        texts.setdefault(text, []).append(f"{name} {version}")
    return "\n\n".join(f"{', '.join(names)}\n\n{text}" for text, names in texts.items()) + "\n"


if __name__ == "__main__":
    main()
