"""Benchmarks, a file a room; `./scripts/bench ROOM` runs them."""
