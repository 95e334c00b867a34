#!/usr/bin/env bash
# What a GPU does in a second, in under 8 minutes: bash bench/gpu.sh; with --smoke tiny sizes, on a CPU too.
# Each section has a process and a deadline of its own. Writes JSON lines to OUT, and prints a table for RESULTS.md.
set -uo pipefail
cd "$(dirname "$0")/.."
PYTHON="${PYTHON:-.venv/bin/python}"
OUT="${OUT:-bench/gpu.jsonl}"
: >"$OUT"
failed=0
while read -r section seconds; do
  timeout "$seconds" "$PYTHON" -m bench.gpu "$section" "$@" >>"$OUT" || { echo "$section: exit code $?" >&2; failed=1; }
done <<'SECTIONS'
loss 45
views 45
step 120
inference 90
study 180
SECTIONS
"$PYTHON" -m bench.gpu table <"$OUT"
exit $failed
