"""Many seeds of one training at once: their steps are computed together, with weights and random numbers of each.

`joint` says how the runs of several processes meet, and `leader` is the process that computes for all of them. It does
so with `tensors` that have a value for each, by `stacks` of their weights and `batches` of their data. `fit` and `body`
tell whether a loop can be computed so, and what it leaves behind.
"""
