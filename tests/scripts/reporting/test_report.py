"""The page: it stands alone, what comes from files is text.

Its verdicts and numbers are the results'.
"""

import base64
import hashlib
import json
import re
from html.parser import HTMLParser
from urllib.parse import unquote

import pytest
import xarray as xr

from actlas.analysis import registry
from actlas.analysis.results.seals import read_seal
from actlas.scripts.charts import embedding
from actlas.scripts.reporting.svg import inline_svg
from actlas.scripts.study.record import read_record, write_record
from actlas.store.errors import ActlasError
from tests.answers import sealed_again

ALIEN = '<script>alert("her")</script>'
HOSTILE = """<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink"
onload="alert(1)" width="10pt">
<script>alert(2)</script><style>* {{ background: url(http://evil.example/a) }}</style>
<foreignObject><body onload="alert(3)"/></foreignObject>
<a xlink:href="http://evil.example/b"><rect width="1"/></a>
<image xlink:href="http://evil.example/c.png"/><image xlink:href="data:image/svg+xml;base64,AAAA"/>
<use xlink:href="http://evil.example/d.svg#x"/><use xlink:href="#mine"/>
<path id="mine" d="M 0 0"
style="fill: url(http://evil.example/e); stroke: #000000; behavior: url(#x);
clip-path: url(#mine)"/>
<g clip-path="url(javascript:alert(4))"><text>&lt;b&gt; </text></g></svg>"""


class Page(HTMLParser):
    """Tags, ids and references of a page."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.ids, self.local, self.links, self.others = [], [], set(), [], []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        for name, value in attrs:
            value = value or ""
            if name == "id":
                self.ids.append(value)
            elif name in ("href", "xlink:href", "src") and value.startswith("#"):
                self.local.add(value[1:])
            elif name in ("for", "aria-labelledby"):
                self.local.update(value.split())
            elif name in ("href", "xlink:href", "src"):
                (self.links if tag == "a" else self.others).append(value)
            self.local.update(re.findall(r"url\(#([^)]*)\)", value))
            assert not name.startswith("on"), name


def without_runtime(page):
    """Return a page without the script that draws charts, which it has once, as it was built."""
    runtime = embedding.script(embedding.RUNTIME)
    assert page.count(runtime) == 1
    return page.replace(runtime, "")


@pytest.fixture(scope="module")
def page(studied_once):
    return without_runtime((studied_once[0] / "actlas-small" / "report.html").read_text())


def test_the_page_stands_alone_and_its_links_lead_to_files(page, studied_once):
    read = Page(page)
    assert len(read.ids) == len(set(read.ids))
    assert read.local <= set(read.ids)
    assert all(value.startswith("data:") for value in read.others)
    files = [link for link in read.links if not link.startswith("#")]
    assert len(files) > 20
    assert all((studied_once[0] / "actlas-small" / unquote(link)).is_file() for link in files)
    known = r"(?:https?|wss?|ftp)://(?!www\.w3\.org/2000/svg\"|vega\.github\.io/schema/vega-lite/)"
    assert not re.findall(known, page)
    assert "default-src 'none'" in page
    assert "unsafe-eval" not in page


def test_scripts_are_those_that_the_policy_names(studied_once):
    text = (studied_once[0] / "actlas-small" / "report.html").read_text()
    scripts = re.findall(r"<script>(.*?)</script>", text, re.DOTALL)
    digests = [
        base64.b64encode(hashlib.sha256(each.encode()).digest()).decode() for each in scripts
    ]
    assert re.findall(r"'sha256-([^']+)'", text[:2000]) == digests
    assert len(digests) == 3
    data = re.findall(r'<script type="application/json"[^>]*>(.*?)</script>', text, re.DOTALL)
    assert all(json.loads(each) for each in data)
    ids = set(re.findall(r'<script type="application/json" id="([^"]+)"', text))
    wanted = {name for each in data for name in dict(json.loads(each)).get("datasets", {}).values()}
    assert wanted == ids


def test_every_figure_has_words_and_a_picture_or_a_chart(page):
    drawings = re.findall(
        r'<svg [^>]*role="img"[^>]*>\s*<title[^>]*>([^<]+)</title>\s*<desc[^>]*>([^<]+)</desc>',
        page,
    )
    images = re.findall(r'<img class="drawing plate"[^>]* alt="([^"]+)"', page)
    figures = re.findall(r"<figure>.*?</figure>", page, re.DOTALL)
    pictures = [figure for figure in figures if 'class="static"' in figure]
    assert len(drawings) + len(images) == len(pictures) > 10
    assert all("<figcaption>" in figure for figure in figures)
    assert all('class="static"' in figure or 'class="chart"' in figure for figure in figures)
    assert sum('class="chart"' in figure for figure in figures) > 10
    assert page.count("aria-sort=") > 10


def test_the_page_begins_with_findings_and_ends_with_where_they_come_from(page, studied_once):
    parts = re.findall(r'<section id="([^"]+)"', page)
    assert parts == ["findings", *(f"part-{n}" for n in range(len(parts) - 2)), "provenance"]
    beginning, rest = page.split('<section id="part-0"', 1)
    record = read_record(studied_once[0] / "actlas-small/study.json")["analyses"].values()
    assert 3 <= beginning.count('<li class="headline') == min(6, len({r["stage"] for r in record}))
    assert set(re.findall(r'<use href="#([^"]+)"', beginning)) <= set(Page(page).ids)
    assert beginning.count('class="thumbnail"') >= 3
    assert re.search(r"<summary>\d+ checks hold", beginning)
    assert "<details open" not in rest.replace('<details open class="data">\n  <summary>What', "")


def test_every_section_asks_a_question(page):
    headings = re.findall(r'<h2 id="part-\d+-heading">([^<]*?)(?: “[^”]*”)?\s*<span', page)
    assert len(headings) > 4
    assert all(heading.rstrip().endswith("?") for heading in headings), headings


def test_runs_edits_and_sentences_are_reported(page, small_model):
    assert "5 sentences" in page
    # five sentences and the legend
    assert page.count('<mark class="target') == page.count('<mark class="control') == 6
    assert "zero:site=z,layer=0,head=0" in page
    assert page.count(">holds</span>") == 3
    assert "actlas study run small.toml --out actlas-small" in page


@pytest.mark.slow
def test_what_comes_from_files_is_text(actlas, studied):
    (studied / "actlas-small/results/cosine/cosine.svg").write_text(HOSTILE)
    sealed_again(studied / "actlas-small/results/cosine/cosine.nc")
    record = studied / "actlas-small/study.json"
    content = read_record(record) | {"title": ALIEN, "text": ALIEN, "study": ALIEN}
    seal = read_seal(studied / "actlas-small/results/cosine/cosine.nc").checksum
    content["analyses"]["cosine"] |= {"summary": ALIEN, "seal": seal}
    write_record(record, content)
    assert actlas("report", "actlas-small").returncode == 0
    page = without_runtime((studied / "actlas-small/report.html").read_text())
    assert "alert(&#34;her&#34;)" in page
    assert "alert(" not in page.replace("alert(&#34;her&#34;)", "")
    assert "evil.example" not in page
    assert "<foreignObject" not in page


@pytest.mark.slow
def test_a_sentence_with_markup_is_shown_as_it_is(actlas, small_model, tmp_path):
    (tmp_path / "a.txt").write_text(
        "we saw <b>her</b> & went\nhe told her <script>x</script>\nshe gave her that\n"
    )
    text = (
        f'[model]\nname = "{small_model}"\n[runs.a]\nsentences = '
        f'"a.txt"\n[analyses.variance]\ntarget = "her"\n'
    )
    (tmp_path / "a.toml").write_text(text)
    assert actlas("study", "run", "a.toml", "--quiet").returncode == 0
    page = without_runtime((tmp_path / "actlas-a/report.html").read_text())
    assert "<b>" not in page
    shown = re.sub(r"</?span[^>]*>", "", page)  # tokens are shaded by their loss
    assert "&lt;script&gt;x&lt;/script&gt;" in shown


@pytest.mark.slow
def test_a_folder_of_single_commands_is_reported_too(actlas, store, tmp_path):
    assert (
        actlas("variance", "it", "--store", "store", "--target", "her", "--out", "res").returncode
        == 0
    )
    assert actlas("reconstruct", "it", "--store", "store", "--out", "res").returncode == 0
    done = actlas("report", "res", "--store", "store")
    assert (done.returncode, done.stdout) == (0, "report  res/report.html\n"), done.stderr
    page = (tmp_path / "res/report.html").read_text()
    assert "actlas extract SENTENCES --model" in page
    assert ">holds</span>" in page
    assert ">not checked</span>" in page
    assert actlas("report", "res", ACTLAS_STORE="store").returncode == 0
    assert (tmp_path / "res/report.html").read_text() == page
    alone = actlas("report", "res")
    assert alone.returncode == 0
    assert (
        "The runs could not be opened: no store was named"
        in (tmp_path / "res/report.html").read_text()
    )


@pytest.mark.slow
def test_a_sum_that_does_not_hold_fails(actlas, studied):
    path = studied / "actlas-small/results/reconstruct/reconstruct.nc"
    (studied / "actlas-small/study.json").unlink()

    def spoil(result):
        result["rounding"][{"layer": 1}] = 7.5
        return result

    sealed_again(path, spoil)
    assert actlas("report", "actlas-small").returncode == 0
    page = (studied / "actlas-small/report.html").read_text()
    assert "3 layers judged: 1 differ by up to 7.5 times" in page
    assert page.count(">fails</span>") == 1


@pytest.mark.slow
def test_the_same_results_make_the_same_page(actlas, studied):
    before = (studied / "actlas-small/report.html").read_bytes()
    assert actlas("report", "actlas-small").returncode == 0
    assert (studied / "actlas-small/report.html").read_bytes() == before


@pytest.mark.slow
@pytest.mark.parametrize(
    ("prepare", "arguments", "code", "message"),
    [
        (None, ["none"], 2, "none is not a directory of results"),
        (lambda folder: (folder / "none").mkdir(), ["none"], 2, "none holds no result of actlas"),
        (
            lambda folder: (folder / "actlas-small/results/scan/scan.svg").write_text("<svg"),
            ["actlas-small"],
            1,
            "scan.svg was altered",
        ),
        (
            lambda folder: (folder / "actlas-small/results/scan/scan.nc").write_text("no"),
            ["actlas-small"],
            1,
            "scan.nc does not end as a result",
        ),
        (
            lambda folder: (folder / "actlas-small/study.json").write_text("{"),
            ["actlas-small"],
            2,
            "not a study's record",
        ),
    ],
)
def test_what_cannot_be_reported_is_one_line(actlas, studied, prepare, arguments, code, message):
    if prepare:
        prepare(studied)
    before = sorted(path.name for path in (studied / "actlas-small").iterdir())
    done = actlas("report", *arguments)
    assert (done.returncode, len(done.stderr.splitlines())) == (code, 1), done.stderr
    assert message in done.stderr
    assert sorted(path.name for path in (studied / "actlas-small").iterdir()) == before


def test_tables_are_the_results_numbers(studied_once):
    folder = studied_once[0] / "actlas-small/results"
    with xr.open_dataset(folder / "variance/variance.nc", engine="h5netcdf") as result:
        table = registry.find("variance").tables(result)[0]
        assert [row[1][1] for row in table.rows] == result["variance"].sel(
            projection="q", group="target"
        ).values.tolist()
        assert table.numeric == (True,) * len(table.header)
    with xr.open_dataset(folder / "scan/scan.nc", engine="h5netcdf") as result:
        assert [row[1][1] for row in registry.find("scan").tables(result)[0].rows] == result[
            "nll_change"
        ].values.tolist()


def test_a_bomb_of_entities_is_refused(tmp_path):
    (tmp_path / "a.svg").write_text(
        '<!DOCTYPE svg [<!ENTITY a "b">]><svg xmlns="http://www.w3.org/2000/svg">&a;</svg>'
    )
    with pytest.raises(ActlasError, match="defines entities"):
        inline_svg(tmp_path / "a.svg", "p", "t", "d")


@pytest.mark.slow
def test_a_picture_that_is_no_png_is_refused(actlas, studied):
    path = studied / "actlas-small/results/cosine/cosine_matrix.png"
    path.write_bytes(path.read_bytes()[:200])
    (studied / "actlas-small/study.json").unlink()
    sealed_again(path.with_name("cosine.nc"))
    done = actlas("report", "actlas-small")
    assert (done.returncode, len(done.stderr.splitlines())) == (1, 1), done.stderr
    assert "cosine_matrix.png is not a PNG for a page" in done.stderr
