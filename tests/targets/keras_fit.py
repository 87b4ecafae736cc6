"""A classifier with Keras."""

import argparse

import keras
import numpy as np

parser = argparse.ArgumentParser()
parser.add_argument("--lr", type=float, default=1e-2)
parser.add_argument("--seed", type=int, default=0)
args = parser.parse_args()
keras.utils.set_random_seed(args.seed)
x = np.random.randn(80, 4).astype("float32")
y = (x.sum(1) > 0).astype("int64")
model = keras.Sequential([keras.layers.Dense(8, activation="relu"), keras.layers.Dense(2, activation="softmax")])
model.compile(keras.optimizers.Adam(args.lr), "sparse_categorical_crossentropy", metrics=["accuracy"])
model.fit(x[:60], y[:60], epochs=3, batch_size=20, validation_data=(x[60:], y[60:]), verbose=2)
score = model.evaluate(x[60:], y[60:], verbose=0)
print("Test loss:", score[0])
print("Test accuracy:", score[1])
