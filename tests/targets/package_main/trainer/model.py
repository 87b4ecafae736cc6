def step(w, x, lr):
    return w + lr * (x - w)
