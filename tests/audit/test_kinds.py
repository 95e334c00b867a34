"""The kinds of findings of an audit."""

from scripts.audit.kinds import AUDIT_KINDS, OBJECT_KINDS
from scripts.audit.scan import INJECTED
from scripts.cohort.volume_errors import ERROR, WARNING
from scripts.intake.finding_kinds import FINDINGS


def test_they_have_the_form_of_those_of_intake_and_names_of_their_own():
    assert {kind.severity for kind in AUDIT_KINDS.values()} == {ERROR, WARNING}
    assert not set(AUDIT_KINDS) & set(FINDINGS)
    assert set(INJECTED) < set(OBJECT_KINDS) < set(AUDIT_KINDS)
