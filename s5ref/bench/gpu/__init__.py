"""How fast on a GPU: steps of the recipes, the kernels they consist of, and the rates that bound both.

`run.bench` is the whole of it; `s5ref bench gpu` prints what it finds. Everything of ours that is timed is
built by one peer (`ours`), on a `TimedDevice`: a device, a clock for it and the bytes that it has taken.
"""
