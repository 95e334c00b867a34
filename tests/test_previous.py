"""Output that a run replaces is kept until the run has ended well."""

from pathlib import Path

from scripts.cohort.volume_files import volumes
from scripts.outputs import visible
from scripts.previous import forget_previous, set_aside


def test_files_are_moved_beside_those_of_earlier_runs_and_hidden(tmp_path: Path) -> None:
    for text in ("first", "second"):
        (tmp_path / "a.nii.gz").write_text(text)
        place = set_aside(tmp_path, [tmp_path / "a.nii.gz", tmp_path / "b.nii.gz"])
        assert place is not None
        assert [path.read_text() for path in place.iterdir()] == [text]
    kept = sorted((tmp_path / ".previous").glob("*/a.nii.gz"))
    assert [path.read_text() for path in kept] == ["first", "second"]
    assert visible(tmp_path) == []
    assert volumes(tmp_path) == {}


def test_nothing_to_move_leaves_no_folder(tmp_path: Path) -> None:
    assert set_aside(tmp_path, [tmp_path / "a.nii.gz"]) is None
    assert list(tmp_path.iterdir()) == []
    forget_previous(tmp_path)


def test_what_was_kept_goes_when_all_is_made_again(tmp_path: Path) -> None:
    (tmp_path / "a.nii.gz").write_text("old")
    set_aside(tmp_path, [tmp_path / "a.nii.gz"])
    (tmp_path / "a.nii.gz").write_text("new")
    forget_previous(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["a.nii.gz"]
