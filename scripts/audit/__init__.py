"""Audit: label maps, phases and predictions that look wrong beside those of other patients, worst first."""

from ..extras import require

require("report", "matplotlib", "jinja2", "sklearn")
