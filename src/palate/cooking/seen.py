"""What is seen of a training, and what is said about it; pure data."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

Kind = Literal[
    "not_finite",
    "diverged",
    "spikes",
    "not_learning",
    "learning_rate",
    "forgotten",
    "dead_units",
    "gradients",
    "overfit",
    "leak",
    "initial_loss",
    "noise_ball",
]
"""The twelve symptoms, in the order in which they are told."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tensor:
    """One parameter at one look.

    Attributes:
        weight: L2 norm of its values.
        gradient: L2 norm of its gradient at the step; None without one.
        ratio: RMS of its change by the step over RMS of its values before it (sampled); None where it has no optimizer,
            or no gradient where it was sampled.
        idle: share of its output units that had no gradient at this look and the last four; None for what has no units.
        called: whether the module that holds it was used in the forward pass.
    """

    weight: float
    gradient: float | None
    ratio: float | None = None
    idle: float | None = None
    called: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Rows:
    """Examples of training and validation that were compared, by a hash of their values.

    Attributes:
        training: different training examples seen at looks.
        validation: different validation examples.
        both: how many of the validation examples were seen in training.
    """

    training: int
    validation: int
    both: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """What was seen at one step: losses at each, all else only where a full look was taken.

    Attributes:
        step: optimizer steps taken so far.
        losses: training losses by name; the first name is the one that is minimised.
        validation: validation metrics by name; those that have the name of a training loss are compared with it.
        rates: learning rate in force, by parameter group; only where it is not that of the look before.
        tensors: parameters by name, in the order of the model.
        not_finite: "gradient of NAME" or "weight of NAME" where a value is NaN or infinite, in the order of the model.
        rows: training and validation examples compared so far.
        excess: by how much the loss lies above that of the average of the weights, by this batch (see `excess`).
    """

    step: int
    losses: Mapping[str, float] = field(default_factory=dict)
    validation: Mapping[str, float] = field(default_factory=dict)
    rates: Mapping[str, float] = field(default_factory=dict)
    tensors: Mapping[str, Tensor] = field(default_factory=dict)
    not_finite: tuple[str, ...] = ()
    rows: Rows | None = None
    excess: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Parameter:
    """What is known of a parameter from the start.

    Attributes:
        size: number of its values.
        matrix: whether it mixes units: two dimensions or more, and no embedding.
        trains: its requires_grad.
        group: the optimizer's group that holds it; None if no optimizer does.
    """

    size: int
    matrix: bool = True
    trains: bool = True
    group: str | None = "0"


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What is known of a training from the start.

    Attributes:
        parameters: parameters by name, in the order of the model.
        classes: number of classes, where the loss is a mean cross-entropy in nats; None otherwise.
        chance: loss of a guess that does not look at the input; log(classes) where only those are given.
        asked: the learning rate asked for by parameter group: the peak of its schedule.
        adversarial: whether losses are lowered against each other, so that their levels say nothing.
        fresh: whether the training starts from random weights.
        same_mode: whether training losses are comparable with those of validation: no dropout, no augmentation.
    """

    parameters: Mapping[str, Parameter] = field(default_factory=dict)
    classes: int | None = None
    chance: float | None = None
    asked: Mapping[str, float] = field(default_factory=dict)
    adversarial: bool = False
    fresh: bool = True
    same_mode: bool = True

    def __post_init__(self) -> None:
        if self.classes is not None and self.classes < 2:
            raise ValueError(f"classes is {self.classes}: a cross-entropy has two classes at least.")


@dataclass(frozen=True, slots=True, kw_only=True)
class Symptom:
    """One thing that goes wrong.

    Attributes:
        kind: which of the twelve.
        step: where it began, as far as that can be told.
        words: where it is, and its value, in a sentence.
        card: number of the card in the cookbook (see `cards`).
        evidence: the numbers that the rule held against each other.
    """

    kind: Kind
    step: int
    words: str
    card: int
    evidence: Mapping[str, float] = field(default_factory=dict)
