"""``python -m scripts audit``."""

from __future__ import annotations

import contextlib
import json as json_format
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

from .option_readers import Switch
from .options import Listed, Share, checked

SUSPICIOUS = 3  # exit code when a finding is above the threshold


@checked
def audit(
    dataset_dir: str,
    maps: str | None = None,
    threshold: Share = 0.5,
    allow: Listed = (),
    json: Annotated[bool, Switch()] = False,
    bundle_root: str | None = None,
    overlay: str | None = None,
    **overrides: Any,
) -> None:
    """Find label maps, phases and predictions that look wrong beside those of other patients (audit.yaml).

    Ends with exit code 3 when a finding is above the threshold.

    Args:
        dataset_dir: the cohort; with attention maps and a pretrained encoder the audit rests on more.
        maps: folder of label maps by any tool, audited instead of the cohort's own; they get an expected Dice.
        threshold: suspicion from which a finding counts.
        allow: kinds of findings that do not count, separated by commas.
        json: print the findings as JSON and nothing else.
        bundle_root: folder of the bundle, by default that of this installation.
        overlay: your own numbers, as given to pretraining; by default the cohort's, kept by run.
        overrides: any key of audit.yaml.
    """
    given = {"threshold": threshold, "allow": list(allow)} | ({"maps": maps} if maps else {})
    with contextlib.redirect_stdout(sys.stderr) if json else contextlib.nullcontext():
        found = audited(dataset_dir, bundle_root, overlay, **overrides, **given)
    if json:
        print(json_format.dumps(found, indent=1))
    end_audit(found)


def audited(
    dataset_dir: str, bundle_root: str | None = None, overlay: str | None = None, **overrides: Any
) -> dict[str, Any]:
    """Run an audit and return the content of its summary.json.

    Args:
        dataset_dir: the cohort.
        bundle_root: folder of the bundle; None for that of this installation.
        overlay: by name or path; None for the cohort's own.
        overrides: keys of audit.yaml.
    """
    from .stages import run_overridden

    run_overridden("audit", dataset_dir, bundle_root, overlay, overrides)
    summary = Path(str(overrides.get("output_dir", dataset_dir))) / "audit" / "summary.json"
    return dict(json_format.loads(summary.read_text(encoding="utf-8")))


def end_audit(found: Mapping[str, Any]) -> None:
    """End with exit code 3 when a finding is above the threshold."""
    if found["above"]:
        sys.exit(SUSPICIOUS)
