"""The page of an audit: self-contained, each finding in its table, suspicious objects beside those of others."""

import base64
import io
import re

import numpy as np
import pytest
from PIL import Image

from scripts.audit.judging import judge
from scripts.audit.page import picture, similar, write_page

from .made import TABLE, reader


@pytest.fixture(scope="module")
def judgement(gathered, toys):
    return judge(gathered, toys, [], TABLE, 0.6, 0)


@pytest.fixture(scope="module")
def page(judgement, toys, tmp_path_factory):
    path = tmp_path_factory.mktemp("page") / "audit.html"
    write_page(path, judgement, toys, reader(), {}, "Nothing <b>odd</b>.", 0.5, 2)
    return path.read_text()


def test_it_needs_no_other_file_and_escapes_what_it_shows(page):
    assert not re.findall(r'(?:src|href)="(?!data:|#)', page)
    assert "Nothing &lt;b&gt;odd&lt;/b&gt;." in page
    assert '<meta name="viewport"' in page


def test_every_finding_is_in_the_sortable_table(page, judgement):
    table = page[page.index("<tbody>") : page.index("</tbody>")]
    assert table.count("<tr") == len(judgement.findings)
    assert 'class="sortable"' in page
    first = judgement.findings[0]
    assert f'<td class="text">{first.case}</td>' in table[: table.index("</tr>")]


def test_pictures_show_the_object_beside_three_others(page):
    urls = re.findall(r'<img src="data:image/png;base64,([^"]+)" alt="([^"]+)"', page)
    assert len(urls) == 2
    image = Image.open(io.BytesIO(base64.b64decode(urls[0][0])))
    assert image.size[0] > 3 * image.size[1]
    assert "beside the same organ in other patients" in urls[0][1]


def test_without_embeddings_objects_alike_in_size_and_place_are_shown(judgement, toys):
    rows = similar(judgement.judged, 0, judgement.reference)
    assert len(rows) == 3
    assert (judgement.reference.organs[rows] == judgement.judged.organs[0]).all()
    assert (judgement.reference.patients[rows] != judgement.judged.patients[0]).all()
    judgement.compared.nearest[:] = -1
    cases = {case.id: case for case in toys}
    finding = next(one for one in judgement.findings if one.organ)
    assert picture(finding, judgement, lambda case: reader().scan(cases[case])).startswith("data:image/png")


def test_an_object_that_is_not_there_has_no_picture(judgement, toys):
    from scripts.audit.findings import AuditFinding

    missing = AuditFinding("p0", "spleen", "organ_missing", 0.9, "8 of 8 label maps have it")
    assert picture(missing, judgement, lambda case: pytest.fail("no scan is needed")) == ""
    assert np.isfinite(missing.suspicion)
