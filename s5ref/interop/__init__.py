"""Other people's weights and frameworks: names and files in both directions, and our layer inside torch
and jax.

`s5ref.interop.torch`, `s5ref.interop.jax` and `s5ref.interop.jax_model` (S5 in jax alone) import their
framework; the rest needs neither.
"""
