"""Every target that docs/performance.md has, measured in one go: `python -m tests.benchmarks.targets`."""
