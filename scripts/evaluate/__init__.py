"""Evaluation: from label maps to measured rows, statistics, figures and the report."""

from ..extras import require

require("report", "matplotlib", "jinja2", "sklearn")
