"""Benchmarks: what the parts of SemCL cost beside what a user could take instead, in one run on one machine."""
