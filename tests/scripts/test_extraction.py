"""Two extractions that begin at the same time: the first to make the run decides on its units and its labels."""

import pytest

from actlas.pipeline import extract
from actlas.pipeline.plan import ExtractOptions
from actlas.scripts.extraction import Request, carry_out, plan_request
from actlas.store.checking import verify
from tests.small_model import TEXTS


def write(folder, name, years):
    path = folder / name
    path.write_text("text,year\n" + "".join(f'"{text}",{year}\n' for text, year in zip(TEXTS, years, strict=True)))
    return str(path)


@pytest.fixture
def overtaken(small_model, tmp_path, monkeypatch):
    """Carry a request out; while its model is loaded another one makes the run and stores another site of it."""

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


def test_the_labels_of_the_first_hold(overtaken, tmp_path):
    run = overtaken(write(tmp_path, "mine.csv", range(5)), write(tmp_path, "first.csv", range(1990, 1995)))
    assert all(run._read_labels(commit).columns["year"].min() >= 1990 for commit in run.commits)
