"""Random S5 features: what thousands of random one-state filters answer to a series, a few numbers each.
Mathematics: docs/features.md.
"""
