LR = 0.1
SEED = 0
