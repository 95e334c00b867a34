"""From queries to embeddings: tables of vectors, maps, nearest neighbours from other patients."""

from ..extras import require

require("report", "matplotlib", "jinja2", "sklearn")
