"""DICOM SEG: predictions as segmentations of their DICOM series, by highdicom (an extra: semcl[dicom])."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from ignite.engine import Engine, Events
from numpy.typing import NDArray

from ..cohort.dicom import find_series
from ..cohort.label_table import LabelTable
from ..cohort.volume_errors import first_line
from ..cohort.volume_files import case_id
from ..errors import SemclError
from ..files import written_whole
from ..job.job import Job
from ..version import __version__
from .volumes import samples

PLAIN = (  # that a segmentation has too, if only empty
    *("PatientID", "PatientName", "PatientBirthDate", "PatientSex", "AccessionNumber"),
    *("StudyID", "StudyDate", "StudyTime"),
)
NEEDED = ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID", "SOPClassUID", "FrameOfReferenceUID")
SIDES = ("right_", "left_")
MOST = 255  # segments


class WriteDicomSeg:
    """Handler: write predictions of DICOM series as <case>.dcm too, with one segment per organ.

    The file belongs to the series' study and carries its patient and study attributes: it is for the archive the series
    came from, not for sharing. Organs are coded in SNOMED CT where pydicom's dictionary has the organ's name (without
    its side), else as an anatomical structure labelled with the name.

    Args:
        table: the label table.
        folder: of the predictions.
        job: cases whose series lacks what a segmentation must refer to are reported to it.
        wanted: False writes nothing.

    Raises:
        SemclError: when it is wanted and highdicom is not installed.
    """

    def __init__(self, table: LabelTable, folder: str, job: Job, wanted: bool = True) -> None:
        self.table, self.folder, self.job, self.wanted = table, Path(folder), job, wanted
        if wanted and not find_spec("highdicom"):  # only imported when used, which takes seconds
            raise SemclError(
                "DICOM SEG needs highdicom",
                found="it is not installed",
                expected="the extra `dicom`",
                remedy="pip install 'semcl[dicom]', or leave dicom_seg false",
            )

    def attach(self, engine: Engine) -> None:
        """Attach to the engine."""
        engine.add_event_handler(Events.ITERATION_COMPLETED, self)

    def __call__(self, engine: Engine) -> None:
        for sample in samples(engine) if self.wanted else ():
            source = Path(sample["source"])
            gone = not source.exists() and case_id(source) is None  # files of volumes get no segmentation
            if (source.is_dir() or gone) and "failed" not in sample:
                try:
                    self._write(sample, source)
                except SemclError as error:
                    self.job.fail(sample["case"], error)

    def _write(self, sample: Mapping[str, Any], source: Path) -> None:
        import highdicom

        series = _read_series(source, sample["case"])
        indices = np.where(sample["pred"][0] == self.table.ignore, 0, sample["pred"][0])
        present = np.unique(indices[indices > 0]).tolist()
        if not present:
            return
        if len(present) > MOST:
            raise SemclError(
                "a DICOM SEG cannot hold that many organs",
                case=sample["case"],
                found=f"{len(present)} organs in the prediction",
                expected=f"at most {MOST}, whose numbers fit in a byte",
                remedy="leave dicom_seg false: the label map was written as NIfTI",
            )
        frames = np.moveaxis(indices, 2, 0).transpose(0, 2, 1)  # slices of rows of columns
        segmentation = _segmentation(
            sample["case"],
            source_images=series,
            pixel_array=_renumbered(frames, present),
            segmentation_type=highdicom.seg.SegmentationTypeValues.BINARY,
            segment_descriptions=self._descriptions(present),
            series_instance_uid=highdicom.UID(),
            series_number=1000,
            sop_instance_uid=highdicom.UID(),
            instance_number=1,
            manufacturer="SemCL",
            manufacturer_model_name="SemCL",
            software_versions=__version__,
            device_serial_number="0",
            omit_empty_frames=True,
        )
        with written_whole(self.folder / f"{sample['case']}.dcm") as aside:
            segmentation.save_as(aside)

    def _descriptions(self, present: Sequence[int]) -> list[Any]:
        import highdicom
        from pydicom.sr.codedict import codes

        algorithm = highdicom.AlgorithmIdentificationSequence(
            name="SemCL", version=__version__, family=codes.DCM.ArtificialIntelligence
        )
        names = {organ.index: organ.name for organ in self.table.organs}
        return [
            highdicom.seg.SegmentDescription(
                segment_number=segment,
                segment_label=names[index],
                segmented_property_category=codes.SCT.AnatomicalStructure,
                segmented_property_type=_code(names[index], codes.SCT),
                algorithm_type=highdicom.seg.SegmentAlgorithmTypeValues.AUTOMATIC,
                algorithm_identification=algorithm,
            )
            for segment, index in enumerate(present, start=1)
        ]


def _read_series(source: Path, case: str) -> list[Any]:
    """The slices of a scan, in order, as pydicom's data sets with the identifiers a segmentation refers to."""
    import pydicom

    try:
        series = [pydicom.dcmread(item.path) for item in find_series(source)[0].slices]
    except (OSError, ValueError) as error:  # it was readable when it was segmented
        raise SemclError(
            f"{case}.dcm cannot be written: its series cannot be read again",
            case=case,
            found=f"{source}: {first_line(error)}",
            expected="the slices that were segmented",
            remedy="restore them and run inference again; the label map was written as NIfTI",
        ) from error
    missing = [name for name in NEEDED if not all(part.get(name) for part in series)]
    for part in series:
        for name in PLAIN:  # a series whose patient's data were removed
            if name not in part:
                setattr(part, name, "")
    if missing:
        raise SemclError(
            "a DICOM SEG cannot refer to this series",
            case=case,
            found=f"no {', '.join(missing)} in {source}",
            expected="slices with the identifiers their archive gave them",
            remedy="export them with their identifiers; the label map was written as NIfTI",
        )
    return series


def _segmentation(case: str, **given: Any) -> Any:
    """highdicom's segmentation, or an error that names the case where it cannot refer to the series."""
    import highdicom

    try:
        return highdicom.seg.Segmentation(**given)
    except (AttributeError, ValueError, TypeError, KeyError) as error:
        raise SemclError(
            "a DICOM SEG cannot refer to this series",
            case=case,
            found=first_line(error),
            expected="slices as their archive gave them",
            remedy="export them with their attributes; the label map was written as NIfTI",
        ) from error


def _code(organ: str, codes: Any) -> Any:
    """The SNOMED CT code of an organ, of the kidney for "left_kidney"; of any anatomical structure if there is none."""
    for side in SIDES:
        organ = organ.removeprefix(side)
    name = "".join(part.capitalize() for part in organ.split("_"))
    return getattr(codes, name) if name in dir(codes) else codes.AnatomicalStructure


def _renumbered(indices: NDArray[Any], present: Sequence[int]) -> NDArray[np.uint8]:
    """Label numbers as segment numbers 1, 2, ... without gaps."""
    lookup = np.zeros(max(present) + 1, np.uint8)
    lookup[list(present)] = np.arange(1, len(present) + 1)
    segments: NDArray[np.uint8] = lookup[indices]
    return segments
