"""Compiled code. Reached through nnfast.engines only; README.md says how it is laid out."""
