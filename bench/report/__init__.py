"""The report of all benchmarks, docs/performance.md, from the stored results."""
