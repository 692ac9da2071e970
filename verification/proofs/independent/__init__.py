"""S4, S4D and S5 a second time, from their papers, with NumPy and SciPy only: nothing of s5ref is imported
here.

Derivations: docs/derivations/s4.md. Letters: N states, L steps, H inputs, M outputs; a kernel is (L, M, H),
index 0 the lag.
"""
