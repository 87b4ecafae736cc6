"""A small network on scikit-learn's handwritten digits (1,797 of 8 x 8), without torch.

About half a second a run on one core. `palate run palate.examples.digits_mlp:train -c hidden=16`
"""

import numpy as np
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from sklearn.neural_network import MLPClassifier

import palate

x, y = load_digits(return_X_y=True)
x_train, x_test, y_train, y_test = train_test_split(x / 16, y, test_size=597, random_state=0)


@palate.experiment(metric="val_acc", goal="max", resolution=1 / 597)
def train(run: palate.Run, *, hidden: int = 32, lr: float = 1e-3, l2: float = 1e-4, epochs: int = 20) -> None:
    """Train with Adam; log the accuracy on 597 held-out digits after each epoch."""
    net = MLPClassifier((hidden,), learning_rate_init=lr, alpha=l2, batch_size=50, random_state=run.seed)
    for epoch in range(1, epochs + 1):
        net.partial_fit(x_train, y_train, classes=np.arange(10))
        run.log(epoch, loss=net.loss_, val_acc=net.score(x_test, y_test))
