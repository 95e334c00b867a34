"""From queries to embeddings: tables of vectors, maps, neighbours of other patients."""

from ..extras import require

require("report", "scipy", "matplotlib", "jinja2", "sklearn")
