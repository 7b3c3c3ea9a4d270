"""A study that is asked of stored runs: what it reads, and its result with figures on disk."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import click

from actlas.analysis import registry
from actlas.analysis.declaring import Options, Study, Subject
from actlas.analysis.declaring.laws import check_sites
from actlas.scripts.extraction.kept import layers_of_model
from actlas.scripts.results.output import Answer, Destination, Output
from actlas.scripts.results.question import Question
from actlas.store.errors import DamagedStore, UsageError, quoted
from actlas.store.format.edit_records import edits_text
from actlas.store.format.parts import WHOLE, ranges
from actlas.store.format.schema import BLOCK_DIMS

if TYPE_CHECKING:
    import xarray as xr

    from actlas.store.reading.index import RunIndex
    from actlas.store.readouts.readout import ReadoutSource
    from actlas.store.runs.run import Run


@dataclass(frozen=True)
class Finding:
    """What a study wrote, what it found, and whether what it checks holds."""

    output: Output
    result: xr.Dataset
    subject: Subject
    findings: tuple[str, ...]
    holds: bool = True


@dataclass(frozen=True)
class Asked:
    """A study with its options, asked of a run and of the variants that are compared with it."""

    study: Study[Any]
    options: Options
    run: Run
    variants: tuple[Run, ...] = ()

    @property
    def runs(self) -> list[Run]:
        """The runs that the result is of, in the order in which it names them."""
        return [self.run, *self.variants]

    @cached_property
    def sites(self) -> tuple[str, ...]:
        """The sites that are read; raises UsageError where there is nothing to study."""
        others = [set(run.sites) for run in self.variants]
        stored = [site for site in self.run.sites if all(site in other for other in others)]
        sites = self.study.sites(self.options, stored, self.run.name)
        missing = [site for site in sites if site not in self.run.sites]
        check_sites(f"run {self.run.name}", missing, **model_of(self.run))
        return sites

    @cached_property
    def recorded(self) -> dict[str, Any]:
        """What the result says of the options, and of the model: it decides what is computed."""
        numbers = {site: ranges(self._numbers(site)) for site in self.sites}
        stated = {**model_of(self.run), "numbers": numbers}
        kept = {index.kept: index.kept_text for index in self._indexes if index.kept != WHOLE}
        if kept:
            stated["kept"] = kept
        return {**stated, **self.study.recorded(self.options, self.sites)}

    def _numbers(self, site: str) -> frozenset[int]:
        """Return the layers or depths of a site that all runs have."""
        return frozenset.intersection(
            *(frozenset(index.numbers.get(site, ())) for index in self._indexes)
        )

    @cached_property
    def _indexes(self) -> list[RunIndex]:
        """By what each run is read."""
        sites = [self.sites, *(self.study.variant_sites(self.sites) for _ in self.variants)]
        return [run.index.of(wanted) for run, wanted in zip(self.runs, sites, strict=True)]

    @cached_property
    def question(self) -> Question:
        """What the result is of."""
        words = self.study.words(self.options)
        if self.study.variants == "named":
            one = len(self.variants) == 1
            edits = edits_text(self.variants[0].edits) if one else ""
            words = edits or f"{len(self.variants)} variants"
        software = registry.software(self.study.name)
        return Question(self.study.name, self.runs, self.recorded, words, software)

    @cached_property
    def subject(self) -> Subject:
        """The runs as the study sees them."""
        check = self.study.checked(self.options)
        sites = [self.sites, *(self.study.variant_sites(self.sites) for _ in self.variants)]
        runs = zip(self.runs, sites, strict=True)
        datasets = [run.dataset(wanted, check=check) for run, wanted in runs]
        seen = _aligned(datasets, [run.name for run in self.runs])
        variants = tuple(map(_seen, self.variants, seen[1:]))
        return replace(_seen(self.run, seen[0]), variants=variants)

    def answered(self) -> tuple[Answer, xr.Dataset]:
        """Compute; return what can be written, and the result with all that is known of it."""
        subject = self.subject
        lazy = self._computed()
        # compute may add attributes, such as which sentences were left out: they are kept
        known = {**subject.dataset.attrs, **self.recorded}
        found = {name: value for name, value in lazy.attrs.items() if name not in known}
        if self.variants:
            found["variants"] = [run.name for run in self.variants]
        answer = Answer(self.question, lazy, found)
        return answer, answer.result.assign_attrs(known | found)

    def findings(self, described: xr.Dataset) -> list[str]:
        """Return the sentences of a result, also on what of the runs was read."""
        found = self.study.findings(described, self.subject)
        return [*found, *_kept_in_part(self.subject, self.run)]

    def carry_out(self, out: Destination) -> Finding:
        """Compute, and write result and figures to ``out``."""
        study, subject = self.study, self.subject
        if notice := study.notice(subject, self.options):
            click.echo(notice, err=True)
        answer, described = self.answered()
        findings = self.findings(described)
        for kind, (figure, caption) in study.figures(described, subject, self.options).items():
            answer.draw(figure, kind, caption, pdf=out.pdf)
        for kind, page in study.pages(subject, self.options).items():
            answer.take_page(kind, page)
        for kind, array in study.large(subject, self.options).items():
            answer.take_large(kind, array)
        answer.add_findings(findings)
        holds = all(check.holds for check in study.checks(described))
        return Finding(answer.write(out), described, subject, tuple(findings), holds)

    def _computed(self) -> xr.Dataset:
        """Return the result, lazy where one pass is enough.

        dask's graph of a long sweep takes more memory than its numbers: a few variants at a time.
        """
        import xarray as xr
        from threadpoolctl import threadpool_limits

        subjects = list(_passes(self.subject, self.study.together))
        if len(subjects) == 1:
            return self.study.compute(subjects[0], self.options)
        parts = []
        for subject in subjects:
            lazy = self.study.compute(subject, self.options)
            with threadpool_limits(1, user_api="blas"):  # as in ``Answer``
                parts.append(lazy.compute())
        # variables without the dim `variant` are the baseline's, equal in all parts
        return xr.concat(
            parts,
            dim="variant",
            data_vars="minimal",
            coords="minimal",
            compat="override",
            combine_attrs="override",
        )


def _passes(subject: Subject, together: int) -> Iterator[Subject]:
    variants = subject.variants
    step = together or max(1, len(variants))
    for start in range(0, max(1, len(variants)), step):
        chosen = variants[start : start + step]
        yield replace(subject, variants=chosen)


def _seen(run: Run, dataset: xr.Dataset) -> Subject:
    numerics = run.specification["numerics"]
    layers = layers_of_model(run)
    return Subject(
        run.name,
        dataset,
        run.edits,
        numerics,
        **model_of(run),
        layers=layers,
        readouts=readouts_of(run),
    )


def _aligned(datasets: Sequence[xr.Dataset], names: Sequence[str]) -> list[xr.Dataset]:
    """Return the runs at the layers and depths that all of them have.

    Raises UsageError where there is none.
    """
    from actlas.analysis.data.kept import of_same_tokens

    aligned = of_same_tokens(datasets, names)
    for dim in BLOCK_DIMS:
        held = [set(each[dim].values.tolist()) for each in datasets if dim in each.coords]
        if not held or all(each == held[0] for each in held):
            continue
        common = sorted(set.intersection(*held))
        if not common:
            of_runs = ", ".join(
                f"{name} has {ranges(each)}" for name, each in zip(names, held, strict=True)
            )
            raise UsageError(
                f"no {dim} is stored of all runs ({of_runs}): add what is missing "
                f"(`actlas extract … --{dim}s`)"
            )
        aligned = [each.sel({dim: common}) for each in aligned]
    return aligned


def _kept_in_part(subject: Subject, run: Run) -> list[str]:
    """Say which layers and depths were read, where the model has more."""
    count, parts = layers_of_model(run), []
    for dim, more in (("layer", 0), ("depth", 1)):
        if count is not None and dim in subject.dataset.coords:
            numbers = subject.dataset[dim].values.tolist()
            if len(numbers) < count + more:
                parts.append(f"{dim} {ranges(numbers)} of 0 to {count + more - 1}")
    found = [f"read at {' and '.join(parts)}: no others are stored"] if parts else []
    if (kept := subject.dataset.attrs.get("tokens")) is not None:
        count = subject.dataset.sizes["token"]
        found.append(f"read of {count:,} of {run.tokens:,} tokens, {kept}: no others are kept")
    return found


def readouts_of(run: Run) -> ReadoutSource:
    """Return where the readout of the model of ``run`` is: of an export beside it."""
    from actlas.store.readouts.readout import ReadoutSource
    from actlas.store.runs.exported import Exported

    store = run.folder if isinstance(run, Exported) else run.folder.parent.parent
    named = run.description.get("model", {})
    model_name = str(named.get("name", "MODEL")) if isinstance(named, dict) else "MODEL"
    return ReadoutSource(store, run.specification.get("model", {}), run.name, model_name)


def model_of(run: Run) -> dict[str, Any]:
    """Return ``law`` and ``causal`` of the model of ``run``, as ``Subject`` has them.

    A record that does not say is of a causal model. Raises DamagedStore for one that is unreadable.
    """
    record = run.description.get("model", {})
    model = record if isinstance(record, dict) else {"law": record}
    found = {"law": model.get("law", ""), "causal": model.get("causal", True)}
    for (name, value), kind in zip(found.items(), (str, bool), strict=True):
        if not isinstance(value, kind):
            raise DamagedStore(
                f"run {run.name}: {name} of its model is {quoted(value)}, expected a "
                f"{kind.__name__}: restore run.json from a copy"
            )
    return found
