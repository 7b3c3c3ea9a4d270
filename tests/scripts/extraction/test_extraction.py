"""Extractions one after the other, and two that begin at the same time.

The first decides on the run's units and labels.
"""

import os
import signal

import pytest

from actlas.pipeline.extraction import loop as extract
from actlas.pipeline.extraction.options import ExtractOptions
from actlas.scripts.commands.sweep import carry_out_sweep, variant_plans
from actlas.scripts.extraction.extraction import carry_out
from actlas.scripts.extraction.request import Request, plan_request
from actlas.scripts.extraction.stopping import Interrupted
from actlas.store import Run, Store
from actlas.store.maintenance.verify import verify
from actlas.store.writing.pack import pack
from tests.small_model import TEXTS


def write(folder, name, years):
    path = folder / name
    path.write_text(
        "text,year\n"
        + "".join(f'"{text}",{year}\n' for text, year in zip(TEXTS, years, strict=True))
    )
    return str(path)


@pytest.fixture
def overtaken(small_model, tmp_path, monkeypatch):
    """Carry a request out.

    While its model is loaded another one makes the run and stores another site of it.
    """

    def run(source, first):
        def request(file, site, unit_tokens):
            options = ExtractOptions((site,), unit_tokens=unit_tokens, device="cpu")
            return Request(file, tmp_path / "store", options, model=str(small_model))

        mine, other = request(source, "q", 1000), request(first, "k", 50)
        plan = plan_request(mine).plan
        real = extract.load_for

        def load_later(plan):
            monkeypatch.setattr(extract, "load_for", real)
            carry_out(other, plan_request(other).plan, quiet=True)
            return real(plan)

        monkeypatch.setattr(extract, "load_for", load_later)
        return carry_out(mine, plan, quiet=True)[0]

    return run


def test_the_units_of_the_first_hold(overtaken, tmp_path):
    source = write(tmp_path, "rows.csv", range(5))
    run = overtaken(source, source)
    assert len(run.units) > 1
    assert run.sites == ("k", "q")
    assert not [problem for checked in verify(run) for problem in checked.problems]


def test_the_labels_of_the_last_hold(overtaken, tmp_path):
    run = overtaken(
        write(tmp_path, "mine.csv", range(5)), write(tmp_path, "first.csv", range(1990, 1995))
    )
    assert run.labels_version == 2
    assert run.labels.columns["year"].max() < 1990


def sweep_of(small_model, tmp_path, *edits, **options):
    source = write(tmp_path, "rows.csv", range(5))
    options = ExtractOptions(("resid", "nll"), device="cpu", **options)
    request = Request(source, tmp_path / "store", options, model=str(small_model))
    plan = plan_request(request).plan
    return request, plan, variant_plans(plan, edits)


def test_a_sweep_adds_what_its_baseline_lacks_once(small_model, tmp_path, monkeypatch):
    request, _, _ = sweep_of(small_model, tmp_path)
    alone = Request(
        request.sentences,
        request.store,
        ExtractOptions(("resid",), device="cpu"),
        model=request.model,
    )
    carry_out(alone, plan_request(alone).plan, quiet=True)
    computed = []
    real = extract.extract_with

    def counted(model, plan, run, watch):
        sites = [part.site for part in plan.missing[0][1]]
        computed.append(([edit.text for edit in plan.edits], *sites))
        return real(model, plan, run, watch)

    monkeypatch.setattr(extract, "extract_with", counted)
    carry_out_sweep(*sweep_of(small_model, tmp_path, "skip:layer=0-1"), quiet=True)
    assert computed == [
        ([], "nll"),
        (["skip:layer=0"], "resid", "nll"),
        (["skip:layer=1"], "resid", "nll"),
    ]


def test_the_time_to_load_the_model_is_reported_with_the_run_that_was_asked_for(
    small_model, tmp_path
):
    _, _, (plan,) = sweep_of(small_model, tmp_path, "skip:layer=1")
    request = Request(
        str(tmp_path / "rows.csv"), tmp_path / "store", plan.options, model=str(small_model)
    )
    _, stats = carry_out(request, plan, quiet=True)
    assert stats.seconds["load"] > 0


@pytest.mark.parametrize("after", [0, 1], ids=["baseline", "first variant"])
def test_a_stop_that_comes_too_late_for_one_extraction_stops_the_next(
    small_model, tmp_path, monkeypatch, after
):
    real, finished = extract.extract_with, []

    def interrupted_late(model, plan, run, watch):
        stats = real(model, plan, run, watch)
        finished.append(run.id)
        if len(finished) == after + 1:
            os.kill(os.getpid(), signal.SIGINT)
        return stats

    monkeypatch.setattr(extract, "extract_with", interrupted_late)
    with pytest.raises(Interrupted, match=f"{after} of 3 variants are stored"):
        carry_out_sweep(*sweep_of(small_model, tmp_path, "skip:layer=*"), quiet=True)
    assert len(finished) == after + 1
    assert sum(not run.missing(["resid"]) for run in Store(tmp_path / "store").runs()) == after + 1


def test_a_baseline_that_is_packed_meanwhile_is_found_where_it_lies_now(small_model, tmp_path):
    request, plan, _ = sweep_of(small_model, tmp_path, unit_tokens=1)
    baseline, _ = carry_out(request, plan, quiet=True)
    _, _, (variant,) = sweep_of(small_model, tmp_path, "skip:layer=1", unit_tokens=1)
    store = Store(request.store)
    run = store.add(variant.specification, variant.description, baseline.units)
    # looked up, and remembered
    assert len({commit.file for commit in run.baseline.commits}) == len(TEXTS)
    pack(Run(baseline.folder))
    extract.extract_with(extract.load_for(variant), variant, run)
    assert not run.missing(("resid", "nll"))
    assert not [problem for checked in verify(run) for problem in checked.problems]


def test_a_sweep_is_planned_by_one_look_at_its_baseline(small_model, tmp_path, monkeypatch):
    """Counted, not timed: the baseline is looked up once, and so is each variant."""
    request, plan, _ = sweep_of(small_model, tmp_path)
    carry_out(request, plan, quiet=True)
    planned, looked_up = plan_request(request).plan, []
    real = Store.find

    def counted(store, run_id):
        looked_up.append(run_id)
        return real(store, run_id)

    monkeypatch.setattr(Store, "find", counted)
    sites = ("resid", "nll")
    for edits in (("skip:layer=*",), ("skip:layer=*", "zero:site=z,layer=*,head=*")):
        looked_up.clear()
        variants = variant_plans(planned, edits)
        assert looked_up == [planned.run_id, *(each.run_id for each in variants)]
        assert len({id(each.baseline) for each in variants}) == 1
        assert {each.baseline.run_id for each in variants} == {planned.run_id}
        assert {id(each.tokens) for each in variants} == {id(planned.tokens)}
        assert {each.options.sites for each in variants} == {sites}
    assert len(variants) == 3 + 3 * 5
