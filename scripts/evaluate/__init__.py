"""From label maps to rows, statistics, figures and the report."""

from ..extras import require

require("report", "scipy", "matplotlib", "jinja2", "sklearn")
