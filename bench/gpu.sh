#!/usr/bin/env bash
# What a GPU does in a second, in under 8 minutes: bash bench/gpu.sh; with --smoke tiny sizes, on a CPU too.
# Each section has a process and a deadline of its own, 450 s with the table. Writes JSON lines to OUT, and prints a
# table for RESULTS.md. SECTIONS names others, each with its seconds. The exit code is that of the last that failed.
set -uo pipefail
cd "$(dirname "$0")/.."
PYTHON="${PYTHON:-.venv/bin/python}"
OUT="${OUT:-bench/gpu.jsonl}"
SECTIONS="${SECTIONS:-loss 40
views 40
step 95
inference 80
study 165}"
: >"$OUT"
failed=0
while read -r section seconds; do
  timeout -k 2 "$seconds" "$PYTHON" -m bench.gpu "$section" "$@" >>"$OUT" || {
    failed=$?
    echo "$section: exit code $failed" >&2
  }
done <<<"$SECTIONS"
timeout -k 2 30 "$PYTHON" -m bench.gpu table <"$OUT" || failed=$?
exit $failed
