"""Build sdist and wheel, look into both, and run the wheel where the sources are not.

    python scripts/dev/check_dist.py --out dist

The wheel must hold every tracked file of the packages and nothing else, and the sdist must build
the same wheel. It is installed into clean environments: with this Python, and with the newest one
on this machine that torch supports. There it answers a study without torch; with the torch of this
environment it runs the demo. ``--out`` keeps both files and an SBOM of what the wheel needs.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
import time
import zipfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import click

ROOT = Path(__file__).resolve().parents[2]
#: in the tree → in the wheel
PACKAGES = {
    "actlas/": "actlas/",
    **{f"{name}/": f"actlas/{name}/" for name in ("analysis", "pipeline", "scripts", "store")},
}
IN_SDIST = ("CHANGELOG.md", "CITATION.cff", "LICENSE", "README.md", "pyproject.toml", "setup.cfg")
#: of who works on actlas: what benchmarks install, and what the charts' runtime is built from
NOT_SHIPPED = (
    *("scripts/bench/fuzz-requirements.txt", "scripts/bench/peers-requirements.txt"),
    "scripts/dev/runtime/",
)
NEWEST = 14  # minor version of the newest Python that torch has wheels for
MINUTES = 5  # for a step


@click.command()
@click.option("--out", type=click.Path(path_type=Path), help="Keep sdist, wheel and SBOM there.")
def main(out: Path | None) -> None:
    """Build, check, install, run."""
    started = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="actlas-dist-") as folder:
        work = Path(folder)
        tracked = _copy_tracked(work / "tree")
        built = work / "built"
        _run(sys.executable, "-m", "build", "--no-isolation", "--outdir", built, work / "tree")
        sdist, wheel = next(built.glob("*.tar.gz")), next(built.glob("*.whl"))
        _check_files(tracked, sdist, wheel, work)
        environments = _installed(wheel, work)
        _check_runs(environments, work)
        bom = built / f"{sdist.name.removesuffix('.tar.gz')}.cdx.json"
        _write_sbom(environments[-1], bom)
        if out is not None:
            out.mkdir(parents=True, exist_ok=True)
            for path in (sdist, wheel, bom):
                shutil.copy2(path, out)
    click.echo(f"distribution checked in {time.monotonic() - started:.0f} s")


def _run(*words: object, cwd: Path | None = None) -> str:
    """Run a command outside the sources; raises ClickException with its output if it fails."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    done = subprocess.run(
        [str(word) for word in words],
        cwd=cwd or Path(tempfile.gettempdir()),
        env=kept,
        capture_output=True,
        text=True,
        timeout=60 * MINUTES,
    )
    if done.returncode:
        line = " ".join(map(str, words))
        raise click.ClickException(
            f"{line}: exit code {done.returncode}\n{done.stdout}{done.stderr}"
        )
    return done.stdout


def _copy_tracked(tree: Path) -> list[str]:
    """Copy what git tracks, links as links, and return its names: no old ``build/`` goes along."""
    names = _run("git", "ls-files", "-z", cwd=ROOT).split("\0")
    tracked = [name for name in names if name and not name.startswith(("tests/", "docs/"))]
    for name in tracked:
        (tree / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(ROOT / name, tree / name, follow_symlinks=False)
    return tracked


def _check_files(tracked: list[str], sdist: Path, wheel: Path, work: Path) -> None:
    expected = set()
    for name in tracked:
        for place, installed in PACKAGES.items():
            if name.startswith(place) and not name.startswith(NOT_SHIPPED):
                expected.add(installed + name.removeprefix(place))
    expected -= {place.removesuffix("/") for place in PACKAGES.values()}  # links
    found = _files(wheel)
    _same("wheel", expected, found)
    with zipfile.ZipFile(wheel) as file:
        if not any(name.endswith("licenses/LICENSE") for name in file.namelist()):
            raise click.ClickException("the wheel has no licence")
    with tarfile.open(sdist) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    if missing := [name for name in IN_SDIST if name not in names]:
        raise click.ClickException(f"the sdist has no {', '.join(missing)}")
    # `python -m build` makes the wheel from the sdist; this one is made from the tree
    _run(sys.executable, "-m", "build", "--no-isolation", "--wheel", "-o", work, work / "tree")
    _same("wheel of the sdist", _files(next(work.glob("*.whl"))), found)
    click.echo(f"{wheel.name}: {len(found)} files, {wheel.stat().st_size / 1e6:.1f} MB")


def _files(wheel: Path) -> set[str]:
    """Return the files of a wheel but its metadata."""
    with zipfile.ZipFile(wheel) as file:
        return {name for name in file.namelist() if ".dist-info/" not in name}


def _same(what: str, expected: set[str], found: set[str]) -> None:
    if expected != found:
        missing, more = sorted(expected - found), sorted(found - expected)
        raise click.ClickException(f"{what}: missing {missing}, not expected {more}")


def _installed(wheel: Path, work: Path) -> list[Path]:
    """Install the wheel for each Python at the same time; return the interpreters."""
    pythons = [Path(sys.executable)]
    newest = _newest()
    if newest is None:
        click.echo(f"SKIPPED: no Python newer than 3.{sys.version_info.minor} is installed here")
    else:
        pythons.append(newest)
    with ThreadPoolExecutor() as pool:
        return list(pool.map(lambda python: _install(python, wheel, work), pythons))


def _install(python: Path, wheel: Path, work: Path) -> Path:
    place = work / f"venv-{python.name}"
    _run(python, "-m", "venv", place)
    interpreter = place / "bin" / "python"
    _run(
        interpreter,
        "-m",
        "pip",
        "install",
        "-q",
        "--no-compile",
        "-c",
        ROOT / "constraints.txt",
        wheel,
    )
    return interpreter


def _newest() -> Path | None:
    """Return the newest Python above this one, from PATH or pyenv, that starts."""
    pyenv = Path(os.environ.get("PYENV_ROOT", "/root/.pyenv")) / "versions"
    for minor in range(NEWEST, sys.version_info.minor, -1):
        on_path = shutil.which(f"python3.{minor}")
        places = [Path(on_path)] if on_path else []
        for candidate in (*places, *pyenv.glob(f"3.{minor}.*/bin/python3.{minor}")):
            if (
                subprocess.run([candidate, "-c", "import venv"], capture_output=True).returncode
                == 0
            ):
                return candidate
    return None


def _check_runs(interpreters: list[Path], work: Path) -> None:
    """Run the demo with the first environment, and a study of its store without torch in each."""
    first = interpreters[0]
    here = work / "here"
    here.mkdir()
    torch = importlib.util.find_spec("torch")
    if torch is None or torch.origin is None:
        raise click.ClickException("torch is missing: pip install -e '.[dev]'")
    # behind the environment's own packages, so that actlas is the wheel's
    link = next(first.parents[1].glob("lib/python*/site-packages")) / "torch.pth"
    link.write_text(str(Path(torch.origin).parents[1]))
    _run(first.with_name("actlas"), "demo", "demo", cwd=here)
    link.unlink()
    for interpreter in interpreters:
        actlas = interpreter.with_name("actlas")
        _run(interpreter, "-c", "from importlib.util import find_spec as f; assert not f('torch')")
        version = _run(actlas, "--version").strip()
        _run(actlas, "verify", "her-demo", "--store", "demo/store", cwd=here)
        said = _run(
            actlas, "variance", "her-demo", "--store", "demo/store", "--target", "her", cwd=here
        )
        if "54 pairs of 'her'" not in said:
            raise click.ClickException(f"actlas variance says\n{said}")
        python = _run(interpreter, "--version").strip()
        click.echo(f"{version}, {python}: installed, verified, studied")


def _write_sbom(interpreter: Path, path: Path) -> None:
    """Write what is installed beside the wheel, as CycloneDX has it."""
    tool = shutil.which("cyclonedx-py", path=f"{Path(sys.executable).parent}:{os.environ['PATH']}")
    if tool is None:
        raise click.ClickException("cyclonedx-py is missing: pip install -e '.[dev]'")
    _run(interpreter, "-m", "pip", "uninstall", "-q", "-y", "pip")
    _run(
        tool,
        "environment",
        "--output-reproducible",
        "--mc-type",
        "library",
        "-o",
        path,
        interpreter,
    )
    click.echo(f"{path.name}: {path.read_text().count('bom-ref')} components")


if __name__ == "__main__":
    main()
