"""For who reads the proofs: certified enclosures, independent implementations, and the theorems as rows.

``oracles`` and ``independent`` import no mathematics of s5ref; ``theorems`` hold it against them.
"""
