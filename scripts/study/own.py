"""A user's own function as a stage: ``stage = "mine.py:function"`` in a study file.

The function takes the run's Dataset and returns a Dataset, or a Dataset and a Figure. What it
returned is up to date until the text of its file changes.
"""

from __future__ import annotations

import ast
import hashlib
import re
import traceback
import types
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from actlas.analysis.declaring import Caption, Options, Study, Subject, Table
from actlas.analysis.declaring.study import Figures
from actlas.store.errors import ActlasError, UsageError, unknown
from actlas.store.io.safe_open import read_input

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.figure import Figure

PREFIX = "own"  # of the names of results
FUNCTION = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,49}")
MOST_BYTES = 1 << 20  # of a file
MOST_TEXT = 200  # characters of an error


class OwnStudy(Study[Options]):
    """A function of a user's file; what it found is known once it was called."""

    options = Options
    help = "A function of your own."

    def __init__(self, file: Path, source: str, function: str) -> None:
        self.file, self.source, self.function = file, source, function
        self.name = f"{PREFIX}-{function}"
        self.heading, self.question = f"What does {function} find?", f"A function of {file.name}."
        self._figure: Figure | None = None
        self._findings: list[str] = []

    def sites(self, options: Options, stored: Sequence[str], run: str) -> tuple[str, ...]:
        """Return all sites."""
        return tuple(stored)

    def recorded(self, options: Options, sites: tuple[str, ...]) -> dict[str, Any]:
        """Return the digest of the file's text, and the sites that the function was given."""
        digest = hashlib.sha256(self.source.encode()).hexdigest()
        function = f"{self.file.name}:{self.function}"
        return {"function": function, "source": f"sha256:{digest}", "sites": sites}

    def compute(self, subject: Subject, options: Options) -> xr.Dataset:
        """Call the function; raises ActlasError, with file and line, for whatever it raises."""
        try:
            found = self._called(subject.dataset)
        except ActlasError:
            raise
        except Exception as error:
            raise ActlasError(f"{self._where(error)}: {_reason(error)}") from error
        return found.drop_attrs(deep=False)

    def _called(self, dataset: xr.Dataset) -> xr.Dataset:
        import xarray as xr
        from matplotlib.figure import Figure

        # the user's code runs here, in this process: it may do whatever Python may
        returned = self._loaded()(dataset)
        result, figure = returned if isinstance(returned, tuple) else (returned, None)
        if not isinstance(result, xr.Dataset) or not isinstance(figure, Figure | None):
            raise ActlasError(
                f"{self.file}: {self.function} returned {_kind(returned)}, "
                "expected an xarray.Dataset, or a Dataset and a matplotlib Figure"
            )
        findings = result.attrs.get("findings", [])
        if not isinstance(findings, list) or not all(isinstance(each, str) for each in findings):
            raise ActlasError(
                f"{self.file}: attrs['findings'] of what {self.function} returned is "
                f"{_kind(findings)}, expected a list of sentences"
            )
        computed = result.compute()
        # what cannot be written fails here
        computed.drop_attrs(deep=False).to_netcdf(engine="h5netcdf")
        self._figure, self._findings = figure, findings
        return computed

    def _loaded(self) -> Callable[[xr.Dataset], Any]:
        module = types.ModuleType(self.file.stem)
        module.__file__ = str(self.file)
        # not imported: sys.modules would keep an older text of the file, and its name may be taken
        exec(compile(self.source, str(self.file), "exec"), vars(module))
        loaded: Callable[[xr.Dataset], Any] = vars(module)[self.function]
        return loaded

    def _where(self, error: Exception) -> str:
        # the innermost frame of the user's own file, not of a library that it calls
        lines = [
            frame.lineno
            for frame in traceback.extract_tb(error.__traceback__)
            if frame.filename == str(self.file)
        ]
        return f"{self.file}, line {lines[-1]}" if lines else f"{self.file}: {self.function}"

    def tables(self, result: xr.Dataset) -> list[Table]:
        """Return none: nothing is known of the numbers."""
        return []

    def figures(self, result: xr.Dataset, subject: Subject, options: Options) -> Figures:
        """Return the figure that the function returned."""
        if self._figure is None:
            return {}
        return {"": (self._figure, Caption(self.function, f"Drawn by {self.file.name}."))}

    def findings(self, result: xr.Dataset, subject: Subject) -> list[str]:
        """Return the sentences of ``attrs["findings"]``, otherwise what there is."""
        names = ", ".join(map(str, result.data_vars))
        return self._findings or [f"{self.function} of {self.file.name}: {names or 'nothing'}"]


def read_own(kind: str, folder: Path) -> OwnStudy:
    """Return the study of ``FILE.py:FUNCTION``; a relative file lies in ``folder``.

    Raises UsageError where there is no such file or function; runs nothing of it.
    """
    name, _, function = kind.rpartition(":")
    file = folder / Path(name).expanduser()
    if not FUNCTION.fullmatch(function) or file.suffix != ".py":
        raise UsageError(f"stage {kind!r}: expected FILE.py:FUNCTION, such as mine.py:spread")
    try:
        source = read_input(file, MOST_BYTES).decode()
        module = ast.parse(source)
    except FileNotFoundError as error:
        raise UsageError(f"stage {kind!r}: {file} does not exist") from error
    except UnicodeDecodeError as error:
        raise UsageError(f"{file} is not UTF-8: save it as UTF-8") from error
    except SyntaxError as error:
        raise UsageError(f"{file}, line {error.lineno}: {error.msg}") from error
    except (ValueError, RecursionError, MemoryError) as error:
        raise UsageError(f"{file} is not Python: {_reason(error)}") from error
    # the syntax tree is enough to know the names; nothing of the file has run yet
    functions = [each.name for each in module.body if isinstance(each, ast.FunctionDef)]
    if function not in functions:
        raise UsageError(f"{file}: {unknown('function', function, functions)}")
    return OwnStudy(file, source, function)


def _reason(error: Exception) -> str:
    lines = str(error).splitlines() or [""]
    return f"{type(error).__name__}: {lines[0][:MOST_TEXT]}".removesuffix(": ")


def _kind(value: object) -> str:
    if isinstance(value, tuple):
        return f"({', '.join(type(each).__name__ for each in value)})"
    return type(value).__name__
