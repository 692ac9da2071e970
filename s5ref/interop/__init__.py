"""Other people's weights and frameworks: names and files in both directions, and our layer inside torch
and jax.

`s5ref.interop.torch` and `s5ref.interop.jax` import their framework; nothing in s5ref imports them, and
the rest needs neither.
"""
