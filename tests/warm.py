"""What the process that all forks of the tests are made of imports before the first of them."""

import tests.distributed
import tests.faults  # noqa: F401
