"""Processes of the tests start with everything imported."""

from tests.stages import FORKED


def test_a_fork_has_imported_the_package_before_it_runs():
    asked = "import sys; sys.exit(not {'monai', 'scripts.__main__', 'tests.warm'} <= set(sys.modules))"
    process = FORKED.Process(target=exec, args=(asked,))
    process.start()
    process.join()
    assert process.exitcode == 0
