"""Many seeds of one training at once: their steps are computed together, each with its own weights and random numbers.

`joint` says how the runs of several processes meet; `tensors` computes with what has a value for each of them; `batches`
gives each its own data; `body` tells whether a loop can be computed so, and what it leaves behind.
"""
