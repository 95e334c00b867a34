"""Retrieval: the pictured queries, the frames of neighbours, and the table."""

import csv
import io
from collections import Counter
from dataclasses import replace
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pytest
from matplotlib.colors import to_hex, to_rgb
from matplotlib.figure import Figure
from PIL import Image
from scipy import ndimage

from scripts.embeddings import retrieval as module
from scripts.embeddings.neighbours import Neighbours, nearest
from scripts.embeddings.retrieval import (
    RIGHT,
    WRONG,
    neighbour_sheet,
    pictured_queries,
    write_neighbours,
)
from scripts.embeddings.table import Embeddings
from scripts.errors import SemclError
from scripts.evaluate.figures import png
from scripts.queries.store import QueryStore
from tests.embeddings.test_table import Means, embedded, embeddings, patch
from tests.queries.test_store import SmallCohort

OWN = "#212529"
ORGANS = ["liver", "liver", "spleen", "liver", "liver", "liver", "spleen", "duct"]
SCANS = ["a", "a", "a", "b", "b", "b", "c", "c"]


@pytest.fixture(scope="module", params=[2, 3], ids=["2-D", "3-D"])
def store(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> QueryStore:
    spacing = [3, 3, 0 if request.param == 2 else 3]
    return SmallCohort(tmp_path_factory.mktemp("cohort")).open(spacing=spacing, spatial_dims=request.param)


@pytest.fixture
def neighbours(store: QueryStore) -> Neighbours:
    """Six queries of the store, two of each organ, and neighbours set by hand: first the same organ, then another."""
    organs = store.index[:, 2]
    queries = np.concatenate([np.flatnonzero(organs == organ)[[0, -1]] for organ in (1, 2, 3)])
    index = np.array([[1, 2, 4, -1], [3, 0, -1, -1], [3, 5, 0, 1], [1, 4, 2, 5], [5, -1, -1, -1], [-1, -1, -1, -1]])
    cosines = np.where(index < 0, -np.inf, 0.9 - 0.1 * np.arange(4))
    return Neighbours(embedded(store, Means(), queries), index, cosines.astype(np.float32))


def table() -> Embeddings:
    return embeddings(np.eye(8), ORGANS, SCANS, cases=SCANS)


# which queries


@pytest.mark.parametrize(
    ("organ", "case", "expected"),
    [
        pytest.param(None, None, [1, 2, 7], id="each organ, of the first case that has it"),
        pytest.param("liver", None, [1], id="one organ"),
        pytest.param("duct", None, [7], id="an organ of a later case"),
        pytest.param("liver", "b", [4], id="one organ of one case, the middle one"),
        pytest.param(None, "c", [6, 7], id="each organ of one case"),
        pytest.param(None, "b", [4], id="organs a case does not have are left out"),
    ],
)
def test_the_middle_query_of_each_organ_is_pictured(organ: str | None, case: str | None, expected: list[int]) -> None:
    assert pictured_queries(table().organs, table().cases, organ, case) == expected


@pytest.mark.parametrize(
    ("organ", "case", "message"),
    [
        pytest.param("heart", None, r"organ heart, case any\n", id="unknown organ"),
        pytest.param(None, "z", r"organ any, case z\n", id="unknown case"),
        pytest.param("duct", "a", r"organ duct, case a\n", id="an organ that case does not have"),
    ],
)
def test_a_missing_query_is_refused(organ: str | None, case: str | None, message: str) -> None:
    expected = (
        rf"(?s)there is no such query.*found: +{message}.*one of liver, spleen, duct, in one of 3 cases.*set organ"
    )
    with pytest.raises(SemclError, match=expected):
        pictured_queries(table().organs, table().cases, organ, case)


# the sheet


def sheet_figure(
    monkeypatch: pytest.MonkeyPatch, neighbours: Neighbours, queries: list[int], store: QueryStore, count: int
) -> Figure:
    """The figure of a sheet before it becomes pixels."""
    kept: list[Figure] = []
    monkeypatch.setattr(module, "png", kept.append)
    try:
        neighbour_sheet(neighbours, queries, store, count)
    finally:
        plt.close("all")
    return kept[0]


def test_a_sheet_has_one_row_per_query_and_one_frame_per_patch(neighbours: Neighbours, store: QueryStore) -> None:
    picture = Image.open(io.BytesIO(neighbour_sheet(neighbours, [0, 3, 4], store, 4)))
    assert picture.format == "PNG"
    frames = framed(np.asarray(picture.convert("RGB")))
    # by row, from left to right: the query, then its neighbours; an empty place has no frame
    assert frames == [
        [OWN, RIGHT, WRONG, WRONG],
        [OWN, WRONG, WRONG, RIGHT, WRONG],
        [OWN, RIGHT],
    ]


def framed(pixels: np.ndarray) -> list[list[str]]:
    """Colours of the frames of a picture, row by row from left to right."""
    found = []
    for colour in (OWN, RIGHT, WRONG):
        near = np.abs(pixels / 255 - np.array(to_rgb(colour))).max(2) < 0.02
        numbers, _ = ndimage.label(near, np.ones((3, 3)))
        for box in ndimage.find_objects(numbers):
            height, width = (side.stop - side.start for side in box)
            if min(height, width) > 50:  # letters are smaller
                found.append((box[0].stop, box[1].start, colour))
    found.sort()
    rows: list[list[tuple[int, str]]] = []
    lowest = -99
    for bottom, left, colour in found:
        if bottom > lowest + 20:
            rows.append([])
        lowest = bottom
        rows[-1].append((left, colour))
    return [[colour for _, colour in sorted(row)] for row in rows]


def test_a_neighbour_is_framed_and_titled_by_whether_it_is_of_the_same_organ(
    neighbours: Neighbours, store: QueryStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    of, axes = neighbours.embeddings, sheet_figure(monkeypatch, neighbours, [2, 4], store, 4).axes
    assert len(axes) == 2 * 5
    for row, query in enumerate([2, 4]):
        own, *others = axes[5 * row : 5 * row + 5]
        names = f"{of.organs[query].replace('_', ' ')}\n{of.phases[query]}\n{of.cases[query]}"
        assert (own.get_title(), to_hex(own.title.get_color())) == (names, OWN)
        for place, axis in enumerate(others):
            other = neighbours.index[query, place]
            assert axis.axison == (other >= 0)
            if other < 0:
                assert axis.get_title() == ""
                continue
            colour = RIGHT if of.organs[other] == of.organs[query] else WRONG
            assert {to_hex(spine.get_edgecolor()) for spine in axis.spines.values()} == {colour}
            assert to_hex(axis.title.get_color()) == colour
            caption = f"{of.organs[other].replace('_', ' ')}\n{of.phases[other]}\n{of.cases[other]}"
            assert axis.get_title() == f"{0.9 - 0.1 * place:.2f} {caption}"


def test_a_patch_is_in_radiological_display_with_the_outline_of_its_mask(
    neighbours: Neighbours, store: QueryStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    axes = sheet_figure(monkeypatch, neighbours, [0], store, 1).axes
    for axis, place in zip(axes, (0, 1), strict=True):
        image, mask = patch(store, int(neighbours.embeddings.queries[place])).numpy()
        if image.ndim == 3:
            image, mask = image[..., 4], mask[..., 4]
        turned = np.rot90(image.T, 2)  # the patient's right on the left, the front above
        assert np.array_equal(axis.images[0].get_array(), turned)
        assert axis.images[0].get_clim() == (-1, 1)
        (outline,) = axis.collections
        corners = np.concatenate([path.vertices for path in outline.get_paths()])
        rows, columns = np.nonzero(np.rot90(mask.T, 2))
        assert corners.min(0).tolist() == [columns.min() - 0.5, rows.min() - 0.5]
        assert corners.max(0).tolist() == [columns.max() + 0.5, rows.max() + 0.5]


@pytest.mark.parametrize(("asked", "columns"), [(2, 3), (4, 5), (50, 5)])
def test_no_more_neighbours_are_shown_than_there_are(
    asked: int, columns: int, neighbours: Neighbours, store: QueryStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert len(sheet_figure(monkeypatch, neighbours, [0], store, asked).axes) == columns


def test_the_same_neighbours_give_the_same_bytes(neighbours: Neighbours, store: QueryStore) -> None:
    assert neighbour_sheet(neighbours, [0], store, 2) == neighbour_sheet(neighbours, [0], store, 2)
    assert plt.get_fignums() == []


@pytest.mark.parametrize("column", ["organs", "phases", "cases"])
def test_names_are_not_rendered_as_formulas(
    column: str, neighbours: Neighbours, store: QueryStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    of = neighbours.embeddings
    odd = replace(neighbours, embeddings=replace(of, **{column: np.array(["a$\\no$b"] * len(of))}))
    figure = sheet_figure(monkeypatch, odd, [0], store, 1)
    assert png(figure).startswith(b"\x89PNG")  # a formula of that name cannot be typeset


# the table


def test_the_table_has_one_line_per_query_and_neighbour(tmp_path: Path) -> None:
    of = replace(table(), phases=np.array(["portal", "arterial"] * 4))
    index, cosines = np.full((8, 2), -1), np.full((8, 2), -np.inf, np.float32)
    index[0], cosines[0] = [7, 3], [0.98768, -0.25]
    index[6, 0], cosines[6, 0] = 1, 0.5
    write_neighbours(tmp_path / "out" / "neighbours.csv", Neighbours(of, index, cosines))
    assert (tmp_path / "out" / "neighbours.csv").read_text().split("\n") == [
        "query,rank,neighbour,similarity,case,organ,phase",
        "100,1,107,0.9877,c,duct,arterial",
        "100,2,103,-0.2500,b,liver,arterial",
        "106,1,101,0.5000,a,liver,arterial",
        "",
    ]


def test_names_with_commas_stay_in_their_column(tmp_path: Path) -> None:
    of = embeddings(np.eye(2), ["vena cava, lower", 'a "duct"'], ["ann", "bob"], cases=["a,1", "b"])
    write_neighbours(tmp_path / "neighbours.csv", nearest(of, 1))
    with open(tmp_path / "neighbours.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [(row["case"], row["organ"]) for row in rows] == [("b", 'a "duct"'), ("a,1", "vena cava, lower")]


def test_neighbours_of_a_store_are_all_in_the_table(store: QueryStore, tmp_path: Path) -> None:
    of = embedded(store, Means(), range(0, len(store.index), 2))
    found = nearest(of, 3)
    write_neighbours(tmp_path / "neighbours.csv", found)
    with open(tmp_path / "neighbours.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert Counter(int(row["query"]) for row in rows) == {
        int(query): int((line >= 0).sum()) for query, line in zip(of.queries, found.index, strict=True)
    }
    at = {int(query): place for place, query in enumerate(of.queries)}
    for row in rows:
        query, other = at[int(row["query"])], at[int(row["neighbour"])]
        assert found.index[query, int(row["rank"]) - 1] == other
        assert of.patients[query] != of.patients[other]
        assert (row["case"], row["organ"], row["phase"]) == (of.cases[other], of.organs[other], of.phases[other])
        assert float(row["similarity"]) == pytest.approx(float(of.vectors[query] @ of.vectors[other]), abs=1e-4)
