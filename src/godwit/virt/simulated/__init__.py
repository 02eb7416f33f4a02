"""A hypervisor in memory: for trying out, for benchmarks, and for tests that break things."""
