"""How fast, how large: the models of the recipes timed on this machine, beside other implementations.

`run.bench` is the whole of it; `s5ref bench cpu` prints what it finds. Every peer (ours, another
implementation, the matrix product that stands for the machine's peak) is a module with ``build(case, what) ->
Benchmark``, and lives in a child process of its own (`child`), which makes one repetition when it is asked to
(`process`).
"""
