"""nnfast's speed: `pytest bench/` guards it, `python -m bench` compares it with other libraries;
docs/benchmarks.md says how.
"""
