"""Settings of the training."""


class Settings:
    lr: float = 0.1
    seed: int = 0
