"""What an audit can find: the kinds of errors, in the form of the findings of intake."""

from __future__ import annotations

from ..cohort.volume_errors import ERROR, WARNING, FindingKind

WRONG_ORGAN, MISSING_PART, LEAK, ISLAND = "wrong_organ", "missing_part", "leak", "island"
SLICE_OFF, OTHER_SCAN = "slice_off", "other_scan"
WRONG_PHASE, LOW_DICE, ORGAN_MISSING = "wrong_phase", "low_dice", "organ_missing"

OBJECT_KINDS = {  # errors of one object of a map
    WRONG_ORGAN: FindingKind(
        ERROR, "an organ drawn as another", "the organ of that name", "check the name; swap the indices of the two"
    ),
    MISSING_PART: FindingKind(WARNING, "a part is missing", "the whole organ", "draw the rest of the organ"),
    LEAK: FindingKind(WARNING, "a leak into what lies beside it", "the organ alone", "erase what is not the organ"),
    ISLAND: FindingKind(WARNING, "a stray island", "one piece where the organ lies", "erase the island"),
    SLICE_OFF: FindingKind(
        WARNING, "drawn some slices off", "the slices that show the organ", "move the organ along the slices"
    ),
    OTHER_SCAN: FindingKind(
        ERROR, "the map of another scan", "the map of this scan", "look for the right map; compare file names and dates"
    ),
}
AUDIT_KINDS = OBJECT_KINDS | {
    WRONG_PHASE: FindingKind(ERROR, "another phase than listed", "the phase of the scan", "correct the case's phase"),
    LOW_DICE: FindingKind(
        WARNING, "a segmentation that has probably failed", "a usable map", "look at it, and redraw it"
    ),
    ORGAN_MISSING: FindingKind(
        WARNING, "an organ that other patients have is missing", "each organ that is in the scan", "check the scan"
    ),
}
