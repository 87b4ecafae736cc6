"""The usual configuration."""

import ml_collections


def get_config():
    config = ml_collections.ConfigDict()
    config.seed = 0
    config.optim = ml_collections.ConfigDict()
    config.optim.lr = 0.1
    return config
