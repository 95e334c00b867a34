"""Every finding there is: how severe it is, what should have been there, and what to do about it."""

from __future__ import annotations

from dataclasses import dataclass

from ..names import LONGEST, RULES

ERROR, WARNING, NOTE = "error", "warning", "note"
TOLERANCE = 0.01  # mm, of spacing, origin and any entry of an affine: what every stage asks for


@dataclass(frozen=True)
class Kind:
    """A kind of finding.

    Args:
        severity: "error" stops, "warning" and "note" do not.
        problem: one line saying what is wrong.
        expected: what should have been there.
        remedy: what the user can do about it.
        unusable: no stage could work with the case; when the finding is allowed the case is left out.
    """

    severity: str
    problem: str
    expected: str
    remedy: str
    unusable: bool = False


def _unusable(problem: str, expected: str, remedy: str) -> Kind:
    return Kind(ERROR, problem, expected, remedy, unusable=True)


_EXPORT = "export the file again, or take the case out of the cohort"
_RESAMPLE = "resample the label map onto its image, or take the case out of the cohort"
_READABLE = "a readable 3-D volume (NIfTI, NRRD, MHA, a DICOM series) or picture (PNG, JPEG)"

FINDINGS = {
    # files
    "missing_file": _unusable("a file is missing", "the file the table names", "restore it, or mend the path"),
    "zero_bytes": _unusable("a file is empty", "a file of more than 0 bytes", "copy the file again"),
    "unreadable": _unusable("a volume cannot be read", _READABLE, _EXPORT),
    "image_without_label": _unusable(
        "image without label map", "a label map of the same name", "add the label map, or move the image away"
    ),
    "label_without_image": _unusable(
        "label map without image", "an image of the same name", "add the image, or move the label map away"
    ),
    "two_files": _unusable("two files of one case", "one volume a case", "remove one of them"),
    "many_channels": _unusable(
        "a case of several channels", "one volume a case", "keep the channel to work on, move the others away"
    ),
    "bad_name": _unusable(
        "a name that files or tables cannot have",
        f"ids of at most {LONGEST} bytes: {RULES}; of patients and phases the same, but that they may hold / and \\",
        "rename the scan, or mend the table of cases",
    ),
    "same_name": _unusable(
        "ids that are one file on many disks", "ids that differ in more than capitals", "rename one of the scans"
    ),
    "unlisted_case": _unusable(
        "a scan that the table of cases does not list", "a row a scan", "add the row, or move the scan away"
    ),
    "not_a_file": _unusable(
        "a path that is neither a file nor a folder",
        "a file of its own",
        "copy what it stands for into a file: pipes and devices are not read",
    ),
    "too_large": _unusable(
        "a volume of more voxels than are read",
        "at most 800 million voxels, or as many as --max_voxels or SEMCL_MAX_VOXELS says",
        "look whether its header is right; if so pass --max_voxels, and set SEMCL_MAX_VOXELS for the stages",
    ),
    "damaged_gzip": _unusable(
        "compressed voxels that are damaged", "a right checksum, and nothing else behind them", "copy the file again"
    ),
    "data_elsewhere": _unusable(
        "a header whose voxels lie in another folder",
        "voxels in the file itself or beside it",
        "put header and voxels into one folder, or convert them to one file",
    ),
    "voxel_type": _unusable(
        "voxels that are no single numbers", "integer or real voxels", "save the magnitude, or one channel"
    ),
    # geometry
    "not_3d": _unusable("a volume is not 3-D", "three axes, one channel", "split it into one 3-D volume a case"),
    "one_frame": Kind(NOTE, "a fourth axis of one frame", "three axes", "nothing: the axis is dropped"),
    "bad_affine": _unusable(
        "an affine that gives voxels no size", "voxels of a finite size above 0 mm along three directions", _EXPORT
    ),
    "voxel_size": _unusable(
        "voxels of a size that no scan has", "0.01 to 100 mm along each axis", "mend the spacing: it is in mm"
    ),
    "no_orientation": Kind(
        WARNING,
        "a NIfTI file that does not say how it lies",
        "a qform or sform code above 0",
        "export with orientation: left and right are a guess",
    ),
    "qform_sform_differ": Kind(
        WARNING,
        "qform and sform disagree",
        f"the same affine within {TOLERANCE} mm",
        "set both to the true one; the sform is used",
    ),
    "oblique": Kind(NOTE, "an oblique affine", "axes along the body's", "nothing: axes are swapped, not resampled"),
    "sheared": Kind(
        WARNING, "a sheared affine", "axes at right angles within 0.5 degrees", "resample (gantry tilt does this)"
    ),
    "shape_differs": _unusable("image and label map differ in shape", "the same shape", _RESAMPLE),
    "spacing_differs": _unusable("image and label map differ in spacing", f"the same within {TOLERANCE} mm", _RESAMPLE),
    "direction_differs": _unusable(
        "image and label map differ in direction", "the same direction cosines within 0.001", _RESAMPLE
    ),
    "origin_differs": _unusable("image and label map differ in place", f"the same within {TOLERANCE} mm", _RESAMPLE),
    # DICOM
    "slice_gap": Kind(
        ERROR, "gaps between slices", "slices at even distances within 10 %", "export all slices of the series"
    ),
    "mixed_series": Kind(
        ERROR, "several series in one folder", "one series a folder", "a folder a series; the largest is read"
    ),
    "doubled_slices": _unusable(
        "several slices at the same place", "one slice a place", "a folder a series: two phases may be mixed"
    ),
    "pixels_missing": _unusable(
        "pixels are missing", "all of the pixels the header tells of", "export or copy the file again"
    ),
    "unplaced_slices": _unusable(
        "slices that do not say how large they are or how they lie",
        "PixelSpacing, ImagePositionPatient, and ImageOrientationPatient of two unit vectors at right angles",
        "export the series with these attributes, or take the case out of the cohort",
    ),
    "mixed_slices": _unusable(
        "slices that do not belong together",
        "one patient and one modality a series",
        "take out the slices that do not belong to the series",
    ),
    "modality_differs": Kind(
        WARNING, "DICOM names another modality", "the modality of --modality", "set --modality, or move the scan away"
    ),
    "patient_by_tag": Kind(
        NOTE, "scans of one DICOM PatientID", "a patient a case", "name patients in --cases if that is wrong"
    ),
    # intensities
    "not_finite": _unusable(
        "a volume holds voxels that are no numbers", "finite voxels", "replace them by the value of air"
    ),
    "constant_image": Kind(ERROR, "an image of a single value", "different intensities", _EXPORT),
    "hu_implausible": Kind(
        WARNING,
        "intensities that are hardly Hounsfield units",
        "below -50 and above 50 HU both present, none below -5000",
        "undo rescaling or normalisation, or pass --modality MR",
    ),
    "intensity_spread": Kind(
        WARNING,
        "intensities of another scale than the cohort's",
        "the 1st to 99th percentile within a factor of 10 of the median case",
        "set `window: percentile`, or export all scans alike",
    ),
    "duplicate_image": Kind(
        ERROR, "the same voxels under two names", "a scan once", "remove one, or give both to one patient and allow"
    ),
    "picture_turned": _unusable(
        "a picture that is to be shown turned",
        "pixels as they are to be shown (EXIF orientation 1)",
        "turn the pixels themselves and drop the mark (`magick mogrify -auto-orient`), and the label map alike",
    ),
    # label maps
    "label_not_integer": _unusable(
        "label values that are no whole numbers", "whole numbers from 0", "resample label maps by nearest neighbour"
    ),
    "label_of_colours": _unusable(
        "a label map in colours",
        "the index of each pixel: a palette, or grey values",
        "save it as a PNG with a palette, or of grey values that are indices",
    ),
    "label_lossy": _unusable(
        "a label map whose values were changed to save space", "a PNG", "make the label map again, as a PNG"
    ),
    "label_outside_table": _unusable(
        "label values outside the label table",
        "0 or an index of the table",
        "add the organ to the label table, or set these voxels to 0",
    ),
    "label_empty": Kind(
        ERROR, "a label map without organs", "at least one organ", "add the organs, or remove the case"
    ),
    "label_names_differ": Kind(
        ERROR,
        "dataset.json and the label table disagree",
        "the same number for an organ",
        "mend the index in the label table",
    ),
    "partners_by_name": Kind(
        NOTE,
        "partners the label table does not state",
        "partner beside the index of organs that have one on the other side",
        "nothing, if they are each other's other side: no view mirrors one into the other",
    ),
    "masks_overlap": Kind(
        WARNING, "masks that overlap", "an organ a voxel", "nothing, if the later organ of the table may win"
    ),
    "partial_labels": Kind(
        NOTE, "organs that were not annotated", "all organs of the table", "nothing: the datalist says which were"
    ),
    "organ_absent": Kind(
        WARNING, "an organ is absent", "each annotated organ", "look; if not annotated say so in column `annotated`"
    ),
    "organ_small": Kind(
        WARNING,
        "an organ is implausibly small",
        "at least 10 voxels and 1/20 of the cohort's median, unless cut off by the border",
        "look whether a stroke of the brush was left over",
    ),
    "organ_in_pieces": Kind(
        WARNING, "an organ in many pieces", "at most 10 pieces", "look; remove what does not belong to it"
    ),
    "sides_swapped": Kind(
        ERROR,
        "left and right are swapped",
        "the right organ further to the right",
        "swap the indices, or mend the orientation",
    ),
    # patients and phases
    "patient_split": _unusable(
        "a patient is on two sides of a split", "all scans of a patient in one fold", "mend column `fold`"
    ),
    "phase_not_in_table": _unusable(
        "a phase the label table does not name",
        "a phase of the table",
        "add it under `phases`, or mend the case's phase",
    ),
    "phase_unknown": Kind(
        WARNING, "nothing says the phase", "a phase", "pass --cases or --phase_pattern; else it is `unknown`"
    ),
}
