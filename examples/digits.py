"""An experiment of one's own: a function, its settings with their defaults, and the metric that judges it.

palate run examples/digits.py -c lr=3e-3
"""

import numpy as np
from sklearn.datasets import load_digits
from sklearn.linear_model import SGDClassifier
from sklearn.model_selection import train_test_split

import palate


@palate.experiment(metric="val_acc", resolution=1 / 360)
def train(run, *, lr=1e-2, l2=1e-4, epochs=10):
    x, y = load_digits(return_X_y=True)
    x_train, x_test, y_train, y_test = train_test_split(x / 16, y, test_size=360, random_state=run.seed)
    model = SGDClassifier(loss="log_loss", learning_rate="constant", eta0=lr, alpha=l2, random_state=run.seed)
    for epoch in range(epochs):
        order = np.random.default_rng([run.seed, epoch]).permutation(len(x_train))
        model.partial_fit(x_train[order], y_train[order], classes=np.arange(10))
        run.log(epoch, val_acc=model.score(x_test, y_test))


if __name__ == "__main__":
    print(train.run(lr=1e-1, forecast="better:60").headline)
