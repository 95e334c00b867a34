"""Every kind of finding: its severity, what is expected, and what to do about it."""

from __future__ import annotations

from ..cohort.volume_errors import ERROR, EXPORT_AGAIN, NOTE, READER_FINDINGS, TOLERANCE, WARNING, FindingKind, unusable
from ..names import ID_BYTES, RULES

_RESAMPLE = "resample the label map onto its image, or take the case out of the cohort"

_FILES = {
    "missing_file": unusable("a file is missing", "the file named in the table", "restore it, or correct the path"),
    "zero_bytes": unusable("a file is empty", "a file of more than 0 bytes", "copy the file again"),
    "image_without_label": unusable(
        "image without label map",
        "a label map of the same name",
        "add the label map, move the image away, or give its folder to --unlabelled to learn from it without",
    ),
    "learnt_without_label": FindingKind(
        NOTE,
        "a scan to learn from without a label map",
        "a scan of the folder given to --unlabelled",
        "nothing: pretraining learns from it, and it is never tested",
    ),
    "label_without_image": unusable(
        "label map without image", "an image of the same name", "add the image, or move the label map away"
    ),
    "two_files": unusable("two files of one case", "one volume per case", "remove one of them"),
    "many_channels": unusable(
        "a case with several channels", "one volume per case", "keep the channel to work on, move the others away"
    ),
    "bad_name": unusable(
        "a name that files or tables cannot have",
        f"ids of at most {ID_BYTES} bytes: {RULES}; the same for patients and phases, which may also hold / and \\",
        "rename the scan, or correct the table of cases",
    ),
    "same_name": unusable(
        "ids that differ only in case", "ids that differ in more than upper and lower case", "rename one of the scans"
    ),
    "same_patient": FindingKind(
        ERROR,
        "patients whose names differ only in case",
        "one name for a patient, who else lies on both sides of a split",
        "write the name in one way, or accept that they are two",
    ),
    "unlisted_case": unusable(
        "a scan that is not in the table of cases", "one row per scan", "add the row, or move the scan away"
    ),
    "row_without_scan": FindingKind(
        WARNING,
        "a row of the table of cases without a scan",
        "a scan of this name",
        "add the scan, or correct the row: its scan is left out",
    ),
    "not_read": FindingKind(
        WARNING,
        "a file or folder that is not read, like those of scans",
        "scans in the folder itself, with a suffix in lower case",
        "rename it, or move it away",
    ),
}

_GEOMETRY = {
    "not_3d": unusable("a volume is not 3-D", "three axes, one channel", "split it into one 3-D volume per case"),
    "one_frame": FindingKind(NOTE, "a fourth axis of length 1", "three axes", "nothing: the axis is dropped"),
    "no_orientation": FindingKind(
        WARNING,
        "a NIfTI file without orientation",
        "a qform or sform code above 0",
        "export with orientation: left and right are a guess",
    ),
    "qform_sform_differ": FindingKind(
        WARNING,
        "qform and sform disagree",
        f"the same affine within {TOLERANCE} mm",
        "set both to the true one; the sform is used",
    ),
    "oblique": FindingKind(
        NOTE, "an oblique affine", "axes along those of the body", "nothing: axes are swapped, not resampled"
    ),
    "sheared": FindingKind(
        WARNING, "a sheared affine", "axes at right angles within 0.5 degrees", "resample (gantry tilt does this)"
    ),
    "shape_differs": unusable("image and label map differ in shape", "the same shape", _RESAMPLE),
    "spacing_differs": unusable("image and label map differ in spacing", f"the same within {TOLERANCE} mm", _RESAMPLE),
    "direction_differs": unusable(
        "image and label map differ in direction", "the same direction cosines within 0.001", _RESAMPLE
    ),
    "origin_differs": unusable("image and label map differ in position", f"the same within {TOLERANCE} mm", _RESAMPLE),
}

_DICOM = {
    "slice_gap": FindingKind(
        ERROR, "gaps between slices", "evenly spaced slices within 10 %", "export all slices of the series"
    ),
    "mixed_series": FindingKind(
        ERROR, "several series in one folder", "one series per folder", "use one folder per series; the largest is read"
    ),
    "modality_differs": FindingKind(
        WARNING, "DICOM states another modality", "the modality of --modality", "set --modality, or move the scan away"
    ),
    "patient_by_tag": FindingKind(
        NOTE,
        "scans with the same DICOM PatientID",
        "one patient per case",
        "nothing, or name the patients in --cases if this is wrong",
    ),
}

_INTENSITIES = {
    "not_finite": unusable(
        "a volume holds voxels that are not finite", "finite voxels", "replace them by the value of air"
    ),
    "constant_image": FindingKind(ERROR, "an image of a single value", "different intensities", EXPORT_AGAIN),
    "hu_implausible": FindingKind(
        WARNING,
        "intensities that are unlikely to be Hounsfield units",
        "values below -50 and above 50 HU, none below -5000",
        "undo rescaling or normalisation, or pass --modality MR",
    ),
    "intensity_spread": FindingKind(
        WARNING,
        "intensities on another scale than the cohort's",
        "the 1st to 99th percentile within a factor of 10 of the median case",
        "set `window: percentile`, or export all scans alike",
    ),
    "duplicate_image": FindingKind(
        ERROR,
        "the same voxels under two names",
        "each scan once",
        "remove one, or assign both to one patient and allow this",
    ),
}

_LABELS = {
    "label_not_integer": unusable(
        "label values that are not whole numbers", "whole numbers from 0", "resample label maps by nearest neighbour"
    ),
    "label_of_colours": unusable(
        "a label map in colours",
        "the index of each pixel: a palette, or grey values",
        "save it as a PNG with a palette, or with grey values that are indices",
    ),
    "label_outside_table": unusable(
        "label values outside the label table",
        "0 or an index of the table",
        "add the organ to the label table, or say of other labels `others: background` or `others: ignore`",
    ),
    "label_empty": FindingKind(
        ERROR, "a label map without organs", "at least one organ", "add the organs, or remove the case"
    ),
    "label_names_differ": FindingKind(
        ERROR,
        "dataset.json and the label table disagree",
        "the same index for an organ",
        "correct the index in the label table",
    ),
    "partners_by_name": FindingKind(
        NOTE,
        "left-right partners inferred from organ names",
        "`partner` beside the index of organs that come in pairs",
        "nothing, if the organs are a pair: views are then never mirrored",
    ),
    "mask_not_binary": unusable(
        "a mask of one organ that is not binary",
        "0 and one whole number, as 0 and 1 or 0 and 255",
        "threshold the mask, or resample it by nearest neighbour",
    ),
    "masks_overlap": FindingKind(
        WARNING, "overlapping masks", "one organ per voxel", "nothing, if the later organ of the table may win"
    ),
    "partial_labels": FindingKind(
        NOTE, "organs that were not annotated", "all organs of the table", "nothing: the datalist lists those that were"
    ),
    "organ_absent": FindingKind(
        WARNING,
        "an organ is absent",
        "each annotated organ",
        "check the label map; if it was not annotated, say so in column `annotated`",
    ),
    "organ_small": FindingKind(
        WARNING,
        "an organ is implausibly small",
        "at least 10 voxels and 1/20 of the cohort's median, unless cut off by the border",
        "check for a stray brush stroke",
    ),
    "organ_in_pieces": FindingKind(
        WARNING,
        "an organ in many pieces",
        "at most 10 connected components",
        "check the label map; remove what does not belong to the organ",
    ),
    "sides_swapped": FindingKind(
        ERROR,
        "left and right are swapped",
        "the right organ on the patient's right",
        "swap the indices, or correct the orientation",
    ),
}

_PATIENTS_AND_PHASES = {
    "patient_split": unusable(
        "a patient is on two sides of a split", "all scans of a patient in one fold", "correct column `fold`"
    ),
    "phase_not_in_table": unusable(
        "a phase that is not in the label table",
        "a phase of the table",
        "add it under `phases`, or correct the case's phase",
    ),
    "phase_unknown": FindingKind(
        WARNING, "the phase is unknown", "a phase", "pass --cases or --phase_pattern; otherwise it is `unknown`"
    ),
}

FINDINGS = _FILES | READER_FINDINGS | _GEOMETRY | _DICOM | _INTENSITIES | _LABELS | _PATIENTS_AND_PHASES
