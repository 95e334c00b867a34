"""The query store: built once, reopened, rebuilt where damaged; foreign folders are refused."""

import json
import logging
import os
import shutil
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import torch

from scripts.cohort.case import Case
from scripts.cohort.label_table import LabelTable, Organ
from scripts.errors import SemclError
from scripts.queries import building
from scripts.queries import store as module
from scripts.queries.dataset import QueryDataset
from scripts.queries.grid import QueryGrid
from scripts.queries.index import INDEX_COLUMNS
from scripts.queries.store import FORMAT, QueryStore
from tests.conftest import write_nifti

ORGANS = (Organ("liver", 5), Organ("right_kidney", 2, "left_kidney"), Organ("left_kidney", 9, "right_kidney"))
TABLE = LabelTable(ORGANS, ("noncontrast", "portal"))
SHAPE = (18, 16, 6)
# case, patient, phase, has a label map; not in the order of their names
CASES = [
    ("d", "zoe", "portal", True),
    ("a", "ann", "noncontrast", True),
    ("c", "zoe", "noncontrast", False),
    ("b", "bob", "portal", True),
]


class SmallCohort:
    """Four scans of three patients, stored in different orientations, and their query store."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.attention, self.store = folder, folder / "attention", folder / "store"
        self.cases = [self.write(*case, number) for number, case in enumerate(CASES)]

    def write(self, case: str, patient: str, phase: str, labelled: bool, number: int) -> Case:
        rng = np.random.default_rng(number)
        affine = np.diag([[1.5, 1.5, 3, 1], [-1.5, -1.5, 3, 1], [-1.5, 1.5, -3, 1], [1.5, -1.5, 3, 1]][number])
        label = np.zeros(SHAPE, np.uint8)
        for organ in ORGANS:
            low = rng.integers(0, [12, 10, 3])
            label[tuple(slice(at, at + size) for at, size in zip(low, (5, 4, 3), strict=True))] = organ.index
        coarse = label * (rng.random(SHAPE) < 0.9)
        image = rng.integers(-300, 300, SHAPE).astype(np.int16)
        where = {kind: self.folder / kind / f"{case}.nii.gz" for kind in ("images", "labels")}
        write_nifti(where["images"], image, affine)
        write_nifti(where["labels"], label, affine)
        write_nifti(self.attention / f"{case}.nii.gz", coarse, affine)
        return Case(case, patient, phase, where["images"], where["labels"] if labelled else None, 0)

    def open(
        self,
        cases: Sequence[Case] | None = None,
        folder: Path | None = None,
        workers: int | None = None,
        table: LabelTable = TABLE,
        **changes: object,
    ) -> QueryStore:
        """The store of some or all cases, in its place or another."""
        numbers = {"spatial_dims": 2, "patch_size": 8, "spacing": [3, 3, 0], "window": [-160, 240]} | changes
        listed = self.cases if cases is None else list(cases)
        where = str(self.store if folder is None else folder)
        return QueryStore(where, listed, str(self.attention), table, QueryGrid(**numbers), workers)


@pytest.fixture
def cohort(tmp_path: Path) -> SmallCohort:
    return SmallCohort(tmp_path)


def files(folder: Path) -> dict[str, bytes]:
    """Every file of a folder by its name within."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def content(folder: Path) -> dict[str, object]:
    """What a store holds, apart from when its files were written."""
    held: dict[str, object] = dict(files(folder))
    for name, text in held.items():
        if name.endswith("case.json"):
            note = json.loads(text)
            for file in note["files"].values():
                del file["modified"]
            held[name] = note
    return held


def canonical(path: Path) -> np.ndarray:
    """A volume turned to RAS by nibabel."""
    return np.asanyarray(nib.as_closest_canonical(nib.load(path)).dataobj)


def age(path: Path) -> None:
    """Make a file a minute older, as if it had been written then."""
    stat = path.stat()
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns - 60 * 10**9))


# what it holds


@pytest.mark.parametrize("dims", [2, 3])
def test_the_index_is_what_a_loop_over_organs_and_slices_finds(cohort, dims):
    store = cohort.open(spacing=[0, 0, 0], spatial_dims=dims)
    people = ["ann", "bob", "zoe"]
    rows = []
    for number, case in enumerate(cohort.cases):
        attention = canonical(cohort.attention / f"{case.id}.nii.gz")
        for organ, (name, phase) in enumerate([(organ, case.phase) for organ in ORGANS], start=1):
            where = attention == name.index
            slices = [[z] for z in range(SHAPE[2]) if where[:, :, z].any()] if dims == 2 else [range(SHAPE[2])]
            for some in slices:
                voxels = np.argwhere(where[:, :, list(some)])
                low, extent = voxels.min(0), np.ptp(voxels, axis=0) + 1
                start = low + (extent - 8) // 2  # every organ fits a patch, so it is looked at in the middle
                cluster = 2 * (organ - 1) + TABLE.phases.index(phase)
                z = some[0] if dims == 2 else start[2]
                rows.append([number, people.index(case.patient), organ, cluster, start[0], start[1], z])
    assert INDEX_COLUMNS == ("case", "patient", "object", "cluster", "x", "y", "z")
    assert store.index.tolist() == rows


@pytest.mark.parametrize("dims", [2, 3])
def test_volumes_are_those_of_the_files(cohort, dims):
    store = cohort.open(spacing=[0, 0, 0], spatial_dims=dims)
    lookup = np.zeros(10, np.uint8)
    lookup[[5, 2, 9]] = [1, 2, 3]
    for number, case in enumerate(cohort.cases):
        window = np.clip((canonical(case.image).astype(float) + 160) / 400, 0, 1) * 2 - 1
        assert store.volume(number, "image").dtype == torch.float16
        assert np.abs(store.volume(number, "image").float().numpy() - window).max() < 1e-3
        maps = {"attention": cohort.attention / f"{case.id}.nii.gz", "target": case.label}
        for name, path in maps.items():
            if path is not None:
                assert store.volume(number, name).dtype == torch.int8
                assert np.array_equal(store.volume(number, name).numpy(), lookup[canonical(path)])


@pytest.mark.parametrize("dims", [2, 3])
def test_slices_are_numbered_or_scans_where_queries_are_cubes(cohort, dims):
    store = cohort.open(spatial_dims=dims)
    case, z = store.index[:, 0], store.index[:, 6]
    alike = case[:, None] == case
    if dims == 2:
        alike &= z[:, None] == z
    assert np.array_equal(store.slices[:, None] == store.slices, alike)
    assert len(set(store.slices)) > (len(CASES) if dims == 2 else 1)


def test_volumes_are_on_the_grid(cohort):
    store = cohort.open(spacing=[3, 3, 6])
    for number, case in enumerate(cohort.cases):
        image = building.read(case.image, case.id)
        assert store.volume(number, "image").shape == (1, 9, 8, 3)
        assert torch.allclose(store.volume(number, "image").float(), store.grid.image(image), atol=1e-3)


def test_patients_are_numbered(cohort):
    store = cohort.open()
    patients = {cohort.cases[case].patient: patient for case, patient in store.index[:, :2].tolist()}
    assert patients == {"ann": 0, "bob": 1, "zoe": 2}
    assert len({tuple(row) for row in store.index[:, :2].tolist()}) == 4  # zoe has two scans


def test_a_case_without_label_has_no_target(cohort):
    store = cohort.open()
    with pytest.raises(SemclError, match=r"(?s)case c: the query store has no target.*a case with a label map"):
        store.volume(2, "target")
    assert store.volume(2, "attention").any()


@pytest.mark.parametrize(
    ("count", "dtype"),
    [(127, torch.int8), (128, torch.int16), (300, torch.int16)],
    ids=["127 organs", "128 organs", "300 organs"],
)
def test_many_organs_are_kept_in_16_bits(cohort, count, dtype):
    many = LabelTable(tuple(Organ(f"organ {index}", index) for index in range(1, count + 1)), TABLE.phases)
    label = np.zeros(SHAPE, np.int16)
    label[2:5, 3:6, 2], label[8:11, 3:6, 3] = count, 1
    for path in (cohort.cases[0].label, cohort.attention / "d.nii.gz"):
        write_nifti(path, label, nib.load(cohort.cases[0].image).affine)
    store = cohort.open(cohort.cases[:1], table=many, spacing=[0, 0, 0])
    assert store.index[:, 2].tolist() == [1, count]
    assert store.index[:, 3].tolist() == [1, 2 * count - 1]
    for name in ("attention", "target"):
        assert store.volume(0, name).dtype == dtype
        assert np.array_equal(store.volume(0, name).numpy(), label)
    assert [sample["attention"].sum().item() for sample in QueryDataset(store)] == [9, 9]


def test_a_volume_cannot_be_written_through(cohort):
    store = cohort.open()
    before = content(cohort.store)
    store.volume(0, "image").fill_(7)
    assert content(cohort.store) == before
    assert store.volume(0, "image").max() <= 1


# when it is built


def test_it_is_built_once(cohort):
    first = cohort.open()
    written = {path: path.stat().st_mtime_ns for path in cohort.store.rglob("*")}
    second = cohort.open()
    assert first.built == ["d", "a", "c", "b"]
    assert second.built == []
    assert np.array_equal(first.index, second.index)
    assert {path: path.stat().st_mtime_ns for path in cohort.store.rglob("*")} == written


def test_a_case_is_a_folder_of_arrays_and_a_note(cohort):
    cohort.open()
    arrays = {"attention.npy", "image.npy", "queries.npy"}
    expected = {"store.json", "c/case.json"} | {f"c/{name}" for name in arrays}
    for case in "dab":
        expected |= {f"{case}/{name}" for name in (*arrays, "target.npy", "case.json")}
    assert set(files(cohort.store)) == expected
    assert json.loads((cohort.store / "store.json").read_text())["format"] == FORMAT


def test_cases_built_in_parallel_are_the_same_bytes(cohort):
    stores = [cohort.open(folder=cohort.folder / f"{workers} at once", workers=workers) for workers in (1, 2, 4, None)]
    for store in stores[1:]:
        assert content(store.folder) == content(stores[0].folder)
        assert np.array_equal(store.index, stores[0].index)
        assert store.built == stores[0].built


def write_again(path: Path) -> None:
    """The same volume with one voxel changed."""
    volume = nib.load(path)
    voxels = np.asanyarray(volume.dataobj).copy()
    voxels[0, 0, 0] = 5 if voxels[0, 0, 0] != 5 else 0
    write_nifti(path, voxels, volume.affine)


CHANGES: dict[str, Callable[[SmallCohort], None]] = {
    "attention touched": lambda cohort: age(cohort.attention / "a.nii.gz"),
    "attention changed": lambda cohort: write_again(cohort.attention / "a.nii.gz"),
    "image touched": lambda cohort: age(cohort.folder / "images" / "a.nii.gz"),
    "image changed": lambda cohort: write_again(cohort.folder / "images" / "a.nii.gz"),
    "label changed": lambda cohort: write_again(cohort.folder / "labels" / "a.nii.gz"),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES.keys())
def test_a_case_is_rebuilt_when_its_sources_change(cohort, change, caplog):
    cohort.open()
    written = {path: path.stat().st_mtime_ns for path in cohort.store.rglob("*.npy")}
    change(cohort)
    store = cohort.open()
    assert store.built == ["a"]
    assert caplog.messages == []  # it is not damaged
    for path, time in written.items():
        assert (path.stat().st_mtime_ns != time) == (path.parent.name == "a")
    fresh = cohort.open(folder=cohort.folder / "fresh")
    assert content(fresh.folder) == content(cohort.store)
    assert np.array_equal(fresh.index, store.index)


def test_a_label_map_that_came_later_is_a_target(cohort):
    cohort.open()
    label = cohort.folder / "labels" / "c.nii.gz"
    cohort.cases[2] = replace(cohort.cases[2], label=label)
    store = cohort.open()
    assert store.built == ["c"]
    assert store.volume(2, "target").any()


GRIDS = {
    "patch size": {"patch_size": 6},
    "spacing": {"spacing": [2, 3, 0]},
    "window": {"window": [-100, 240]},
    "dimensions": {"spatial_dims": 3},
    "label table": {"table": LabelTable(ORGANS, ("portal", "noncontrast"))},
}


@pytest.mark.parametrize("change", GRIDS.values(), ids=GRIDS.keys())
def test_all_is_built_again_for_another_grid_or_label_table(cohort, change):
    cohort.open()
    store = cohort.open(**change)
    assert store.built == ["d", "a", "c", "b"]
    fresh = cohort.open(folder=cohort.folder / "fresh", **change)
    assert content(fresh.folder) == content(cohort.store)
    assert np.array_equal(fresh.index, store.index)


def test_all_is_built_again_when_volumes_are_resampled_otherwise(cohort, monkeypatch):
    cohort.open()
    monkeypatch.setattr("scripts.queries.store.RESAMPLING", 0)
    assert cohort.open().built == ["d", "a", "c", "b"]
    assert cohort.open().built == []


def test_another_patient_or_phase_needs_no_building(cohort):
    before = cohort.open().index
    cohort.cases[0] = replace(cohort.cases[0], patient="ann", phase="noncontrast")
    store = cohort.open()
    assert store.built == []
    first = store.index[:, 0] == 0
    assert set(store.index[first, 1]) == {0}
    assert np.array_equal(store.index[first, 3], before[first, 3] - 1)
    assert np.array_equal(np.delete(store.index[first], [1, 3], axis=1), np.delete(before[first], [1, 3], axis=1))


@pytest.mark.parametrize("first", ["labelled", "all"])
def test_two_lists_of_cases_share_a_store(cohort, first):
    labelled = [case for case in cohort.cases if case.label]
    lists = {"labelled": labelled, "all": cohort.cases}
    cohort.open(lists[first])
    later = {name: cohort.open(cases) for name, cases in lists.items()}
    assert [later["labelled"].built, later["all"].built] == [[], ["c"] if first == "labelled" else []]
    assert [cohort.open(cases).built for cases in lists.values()] == [[], []]
    for name, cases in lists.items():
        store, people = later[name], sorted({case.patient for case in cases})
        alone = cohort.open(cases, folder=cohort.folder / name)
        assert np.array_equal(store.index, alone.index)
        assert set(store.index[:, 0]) == set(range(len(cases)))
        for number, case in enumerate(cases):
            assert set(store.index[store.index[:, 0] == number, 1]) == {people.index(case.patient)}
            assert torch.equal(store.volume(number, "image"), alone.volume(number, "image"))


def test_the_order_of_cases_is_that_of_the_list(cohort):
    cohort.open()
    store = cohort.open(cohort.cases[::-1])
    assert store.built == []
    assert np.array_equal(store.index, cohort.open(cohort.cases[::-1], folder=cohort.folder / "fresh").index)


def test_a_copied_store_is_not_built_again(cohort, caplog):
    first = cohort.open()
    copy = shutil.copytree(cohort.store, cohort.folder / "copy", copy_function=shutil.copyfile)
    for path in copy.rglob("*.npy"):
        age(path)
    second = cohort.open(folder=copy)
    assert second.built == []
    assert caplog.messages == []
    assert np.array_equal(first.index, second.index)
    assert content(copy) == content(cohort.store)


# where building was cut short


ERRORS = {
    "by the user": KeyboardInterrupt(),
    "by an error": SemclError("no more", found="this", expected="that", remedy="nothing"),
}


@pytest.mark.parametrize("error", ERRORS.values(), ids=ERRORS.keys())
def test_building_resumes_where_it_was_interrupted(cohort, monkeypatch, error):
    def read(path: Path, case: str, channels: int):
        if case != "d":
            raise error
        return whole_read(path, case, channels)

    whole_read = building.read
    with monkeypatch.context() as patch:
        patch.setattr(building, "read", read)
        with pytest.raises(type(error)):
            cohort.open(workers=1)
    assert (cohort.store / "d" / "case.json").is_file()
    written = {path: path.stat().st_mtime_ns for path in (cohort.store / "d").iterdir()}
    store = cohort.open()
    assert store.built == ["a", "c", "b"]
    assert {path: path.stat().st_mtime_ns for path in (cohort.store / "d").iterdir()} == written
    assert content(cohort.store) == content(cohort.open(folder=cohort.folder / "fresh").folder)
    assert cohort.open().built == []


@pytest.mark.parametrize("last", ["image.npy", "attention.npy", "queries.npy", "target.npy"])
def test_a_case_counts_as_built_only_with_its_last_array(cohort, monkeypatch, last):
    def write(path: Path, array: np.ndarray):
        if (path.parent.name, path.name) == ("a", last):
            raise KeyboardInterrupt
        return whole_write(path, array)

    whole_write = building.write_array
    with monkeypatch.context() as patch:
        patch.setattr(building, "write_array", write)
        with pytest.raises(KeyboardInterrupt):
            cohort.open(workers=1)
    assert "a" in cohort.open().built
    assert content(cohort.store) == content(cohort.open(folder=cohort.folder / "fresh").folder)


def begun(folder: Path) -> None:
    """Leave an array of a case as a killed process does that was writing it."""
    (folder / "case.json").unlink()
    (folder / ".4711.image.npy").write_bytes((folder / "image.npy").read_bytes()[:100])
    (folder / "image.npy").unlink()


def without(*names: str) -> Callable[[Path], None]:
    return lambda folder: [(folder / name).unlink() for name in names]


KILLED: dict[str, Callable[[Path], object]] = {
    "between arrays and note": without("case.json"),
    "between two arrays": without("case.json", "target.npy", "queries.npy"),
    "before the first array": without("case.json", "target.npy", "queries.npy", "image.npy", "attention.npy"),
    "before the folder": shutil.rmtree,
    "in the middle of an array": begun,
}


@pytest.mark.parametrize("kill", KILLED.values(), ids=KILLED.keys())
def test_a_case_whose_building_was_killed_is_built_again(cohort, kill, caplog):
    cohort.open()
    before = content(cohort.store)
    kill(cohort.store / "a")
    assert cohort.open().built == ["a"]
    assert caplog.messages == []
    assert before.items() <= content(cohort.store).items()
    assert cohort.open().built == []


def test_a_folder_with_only_a_temporary_marker_is_accepted(cohort):
    cohort.store.mkdir()
    (cohort.store / ".4711.store.json").write_text("{")
    assert cohort.open().built == ["d", "a", "c", "b"]


def test_a_case_half_built_for_another_grid_is_rebuilt(cohort, caplog):
    cohort.open()
    before = content(cohort.store)
    note = (cohort.store / "a" / "case.json").read_bytes()
    cohort.open(cohort.cases[1:2], window=[0, 100])
    (cohort.store / "a" / "case.json").write_bytes(note)  # killed before the new note was written
    assert cohort.open().built == ["a"]
    assert "image of case a is damaged" in caplog.text
    assert content(cohort.store) == before


# damage


def flipped(name: str, at: int) -> Callable[[Path], None]:
    """Turn over all bits of one byte of an array's file."""

    def flip(folder: Path) -> None:
        held = bytearray((folder / f"{name}.npy").read_bytes())
        held[at] ^= 0xFF
        (folder / f"{name}.npy").write_bytes(held)
        age(folder / f"{name}.npy")

    return flip


def replaced(name: str, held: bytes) -> Callable[[Path], object]:
    return lambda folder: (folder / name).write_bytes(held)


def cut(folder: Path) -> None:
    (folder / "image.npy").write_bytes((folder / "image.npy").read_bytes()[:-10])


def grown(folder: Path) -> None:
    (folder / "target.npy").write_bytes((folder / "target.npy").read_bytes() + b"more")


def swapped(folder: Path) -> None:
    shutil.copyfile(folder.with_name("b") / "attention.npy", folder / "attention.npy")
    age(folder / "attention.npy")


def note_without(key: str) -> Callable[[Path], None]:
    def take(folder: Path) -> None:
        note = json.loads((folder / "case.json").read_text())
        del note[key]
        (folder / "case.json").write_text(json.dumps(note))

    return take


def empty_files(folder: Path) -> None:
    note = json.loads((folder / "case.json").read_text())
    (folder / "case.json").write_text(json.dumps(note | {"files": []}))


def file_without_size(folder: Path) -> None:
    note = json.loads((folder / "case.json").read_text())
    del note["files"]["image"]["size"]
    (folder / "case.json").write_text(json.dumps(note))


DAMAGE: dict[str, tuple[Callable[[Path], object], str]] = {
    "a cut array": (cut, "image"),
    "a grown array": (grown, "target"),
    "an empty array": (replaced("queries.npy", b""), "queries"),
    "a missing array": (without("image.npy"), "image"),
    "two missing arrays": (without("image.npy", "queries.npy"), "image, queries"),
    "another case's array": (swapped, "attention"),
    "a flipped byte of an image": (flipped("image", -5), "image"),
    "a flipped byte of an attention map": (flipped("attention", -1), "attention"),
    "a flipped byte of the queries": (flipped("queries", -4), "queries"),
    "a flipped byte of a header": (flipped("target", 20), "target"),
    "a note of garbage": (replaced("case.json", b"{'key': "), "case.json"),
    "a note of other bytes": (replaced("case.json", b"\xff\xfe\x00"), "case.json"),
    "an empty note": (replaced("case.json", b""), "case.json"),
    "a note that is a list": (replaced("case.json", b"[1, 2]"), "case.json"),
    "a note that is an empty list": (replaced("case.json", b"[]"), "case.json"),
    "a note that is a number": (replaced("case.json", b"3"), "case.json"),
    "a note that is nothing": (replaced("case.json", b"null"), "case.json"),
    "a note without its key": (note_without("key"), "case.json"),
    "a note without its files": (note_without("files"), "case.json"),
    "a note whose files are a list": (empty_files, "case.json"),
    "a note without a size": (file_without_size, "case.json"),
}


@pytest.mark.parametrize(("harm", "named"), DAMAGE.values(), ids=DAMAGE.keys())
def test_damaged_arrays_are_named_and_rebuilt(cohort, harm, named, caplog):
    index = cohort.open().index
    before = content(cohort.store)
    harm(cohort.store / "a")
    with caplog.at_level(logging.WARNING, logger=module.__name__):
        store = cohort.open()
    assert store.built == ["a"]
    assert caplog.messages == [f"query store: {named} of case a is damaged and will be built again"]
    assert content(cohort.store) == before
    assert np.array_equal(store.index, index)
    assert cohort.open().built == []


def test_each_damaged_case_is_named(cohort, caplog):
    cohort.open()
    before = content(cohort.store)
    for case in "ab":
        cut(cohort.store / case)
    assert cohort.open().built == ["a", "b"]
    assert [message.split()[5] for message in caplog.messages] == ["a", "b"]
    assert content(cohort.store) == before


# folders that are something else


FOREIGN = {
    "files of somebody": {"thesis.txt": b"mine", "scans/a.nii.gz": b"a scan"},
    "a store of an older version": {
        "store.json": b'{"key": "1f", "cases": ["a"]}',
        "index.npy": b"",
        "a/image.npy": b"",
    },
    "a store of another format": {"store.json": b'{"format": "query store 1"}', "a/image.npy": b"voxels"},
    "a mark that is cut": {"store.json": b'{"format": "query st', "a/image.npy": b"voxels"},
    "an empty mark": {"store.json": b""},
    "a mark of other bytes": {"store.json": b"\xff\xfe\x00"},
    "a mark that is a list": {"store.json": b"[1]"},
    "a mark that is a text": {"store.json": b'"query store 2"'},
    "a mark that is nothing": {"store.json": b"null"},
}


@pytest.mark.parametrize("held", FOREIGN.values(), ids=FOREIGN.keys())
def test_a_folder_that_holds_something_else_is_refused_and_left_alone(cohort, held):
    for name, content_of_it in held.items():
        path = cohort.store / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content_of_it)
    with pytest.raises(
        SemclError, match=r"(?s)the query store holds something else.*point --store_dir at a new folder"
    ):
        cohort.open()
    assert files(cohort.store) == held


def test_an_empty_folder_is_accepted(cohort):
    cohort.store.mkdir()
    assert cohort.open().built == ["d", "a", "c", "b"]


def test_nothing_is_deleted_from_a_store(cohort):
    cohort.open()
    for name in ("notes.txt", "a/notes.txt"):
        (cohort.store / name).write_text("mine")
    cut(cohort.store / "a")
    cohort.open(cohort.cases[:2], patch_size=6)
    kept = files(cohort.store)
    assert kept["notes.txt"] == kept["a/notes.txt"] == b"mine"
    assert {"b/image.npy", "c/image.npy"} <= set(kept)


# cases it cannot be built of


def other_shape(cohort: SmallCohort) -> None:
    write_nifti(cohort.attention / "a.nii.gz", np.ones((4, 4, 4), np.uint8))


def other_values(cohort: SmallCohort) -> None:
    path = cohort.attention / "a.nii.gz"
    write_nifti(path, np.full(SHAPE, 77, np.uint8), nib.load(path).affine)


BROKEN: dict[str, tuple[Callable[[SmallCohort], object], str]] = {
    "attention of another shape": (other_shape, "case a: image and label map differ in shape"),
    "an organ that is not in the table": (other_values, "case a: label values outside the label table"),
    "an image that cannot be read": (
        lambda cohort: (cohort.folder / "images" / "a.nii.gz").write_bytes(b"none"),
        "case a: a volume cannot be read",
    ),
    "an image that is gone": (
        lambda cohort: (cohort.folder / "images" / "a.nii.gz").unlink(),
        "case a: a file of the datalist is missing",
    ),
}


@pytest.mark.parametrize("workers", [1, 3])
@pytest.mark.parametrize(("harm", "message"), BROKEN.values(), ids=BROKEN.keys())
def test_a_case_that_cannot_be_built_is_named_and_the_others_are_kept(cohort, harm, message, workers):
    fresh = content(cohort.open(folder=cohort.folder / "fresh").folder)
    whole = shutil.copytree(cohort.folder, cohort.folder / "whole")
    harm(cohort)
    with pytest.raises(SemclError, match=message):
        cohort.open(workers=workers)
    kept = {path.parent.name for path in cohort.store.glob("*/case.json")}
    assert "d" in kept or workers > 1  # it comes first
    for name in ("images/a.nii.gz", "attention/a.nii.gz"):
        shutil.copy2(whole / name, cohort.folder / name)
    assert set(cohort.open().built) == set("abcd") - kept
    assert content(cohort.store) == fresh


def test_a_phase_that_is_not_in_the_table_names_its_case(cohort):
    cohort.cases[2] = replace(cohort.cases[2], phase="arterial")
    with pytest.raises(SemclError, match=r"(?s)case c: a phase that is not in the label table.*arterial"):
        cohort.open()


def test_missing_attention_names_the_stage_to_run(cohort):
    for case in "ac":
        (cohort.attention / f"{case}.nii.gz").unlink()
    with pytest.raises(SemclError, match=r"(?s)case a: attention maps are missing.*2 of 4.*run coarse.yaml first"):
        cohort.open()
    assert not cohort.store.exists()


def no_attention(cohort: SmallCohort, cases: str) -> None:
    for case in cases:
        path = cohort.attention / f"{case}.nii.gz"
        write_nifti(path, np.zeros(SHAPE, np.uint8), nib.load(path).affine)


def test_a_case_without_attention_has_no_queries(cohort):
    whole = cohort.open().index
    no_attention(cohort, "a")
    store = cohort.open()
    assert store.built == ["a"]
    assert np.array_equal(store.index, whole[whole[:, 0] != 1])
    assert cohort.open().built == []


def test_a_cohort_without_attention_is_refused(cohort):
    no_attention(cohort, "abcd")
    with pytest.raises(SemclError, match=r"(?s)there is nothing to query.*all empty.*train the coarse network longer"):
        cohort.open()


# reading


def held_open(folder: Path) -> list[str]:
    """Files of a folder this process holds open or mapped."""
    descriptors = [os.path.realpath(path) for path in Path("/proc/self/fd").iterdir()]
    maps = [line.split()[-1] for line in Path("/proc/self/maps").read_text().splitlines()]
    return [path for path in descriptors + maps if path.startswith(str(folder.resolve()))]


def test_reading_holds_no_file_open(cohort):
    store = cohort.open()
    dataset = QueryDataset(store, margin=2)
    before = len(os.listdir("/proc/self/fd"))
    samples = [dataset[item % len(dataset)] for item in range(300)]
    assert len(samples) == 300
    assert held_open(cohort.store) == []
    assert len(os.listdir("/proc/self/fd")) == before
    volume = store.volume(0, "image")
    assert held_open(cohort.store)  # what a volume in use looks like
    del volume
    assert held_open(cohort.store) == []
