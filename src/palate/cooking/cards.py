"""The cookbook: for each symptom the usual adjustment, what to expect of it, and who says so.

The cards are what well-known guides advise, in other words: priors of a beginner, to be confirmed or overturned by
one's own forks. Sources that were not looked up again are marked "from memory". Where `conflict` is set, they disagree.
"""

from dataclasses import dataclass

from palate.cooking.seen import Kind, Symptom

RECIPE = "Karpathy, A Recipe for Training Neural Networks (2019)"
PLAYBOOK = "Godbole and others, Deep Learning Tuning Playbook (2023)"
CS231N = "Stanford CS231n, notes on neural networks, part 3"
CS231N_RECALLED = f"{CS231N} (from memory)"
GOODFELLOW = "Goodfellow, lecture on practical methodology for Deep Learning, chapter 11 (2016)"
GOODFELLOW_RECALLED = f"{GOODFELLOW} (from memory)"
GANHACKS = "Chintala and others, How to Train a GAN (2016)"
DEOLDIFY = "Antic, DeOldify (2019)"
FASTBOOK = "Howard and Gugger, Deep Learning for Coders (2020, from memory)"
PALM = "Chowdhery and others, PaLM (2022)"
OPT = "Zhang and others, OPT (2022, from a summary)"
SHORT_HORIZON = "Wu and others, Understanding Short-Horizon Bias in Stochastic Meta-Optimization (2018)"
IMPROVED_GANS = "Salimans and others, Improved Techniques for Training GANs (2016, from memory)"
SPECTRAL = "Miyato and others, Spectral Normalization for GANs (2018, from memory)"
PENALTY = "Gulrajani and others, Improved Training of Wasserstein GANs (2017, from memory)"
CHECKERBOARD = "Odena, Dumoulin and Olah, Deconvolution and Checkerboard Artifacts (2016, from memory)"
MEASURED = "measured with small networks for palate"


def _rule(name: str) -> str:
    return f"Amazon SageMaker Debugger, rule {name}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Card:
    """One card of the cookbook.

    Attributes:
        number: its number, which never changes.
        symptom: what one sees.
        seasoning: the usual adjustment.
        expect: what should happen then.
        sources: who says so, by full name.
        kind: the detector that finds it; None if a person must see it.
        conflict: whether the sources disagree, or what is advised is known to fail: try it in a fork first.
    """

    number: int
    symptom: str
    seasoning: str
    expect: str
    sources: tuple[str, ...]
    kind: Kind | None = None
    conflict: bool = False


def card_for(symptom: Symptom) -> Card:
    """Return the card that a symptom opens."""
    return CARDS[symptom.card - 1]


def _card(
    number: int,
    symptom: str,
    seasoning: str,
    expect: str,
    *sources: str,
    kind: Kind | None = None,
    conflict: bool = False,
) -> Card:
    return Card(
        number=number,
        symptom=symptom,
        seasoning=seasoning,
        expect=expect,
        sources=sources,
        kind=kind,
        conflict=conflict,
    )


CARDS: tuple[Card, ...] = (
    _card(
        1,
        "the first loss is not log(number of classes)",
        "mend the last layer's bias or start values, the scale of the inputs, or how the loss is averaged",
        "the steep fall of the first steps goes away",
        RECIPE,
        _rule("PoorWeightInitialization"),
        kind="initial_loss",
    ),
    _card(
        2,
        "one batch cannot be learnt by heart",
        "stop and look for a bug; no knob will help",
        "once it is mended, the loss on that batch goes to 0",
        RECIPE,
        GOODFELLOW_RECALLED,
    ),
    _card(
        3,
        "inputs of zeros score as well as real ones",
        "check that inputs reach the network, and that labels belong to them",
        "real inputs become better than zeros",
        RECIPE,
    ),
    _card(
        4,
        "a loss, gradient or weight is NaN or infinite",
        "lower the learning rate; clip gradients; look for a logarithm or a division of 0; bf16 instead of fp16",
        "all values stay finite",
        PLAYBOOK,
        _rule("ExplodingTensor"),
        kind="not_finite",
    ),
    _card(
        5,
        "the loss rises within the first 500 steps or so",
        "warm the learning rate up, over at most a tenth of the steps",
        "a peak about ten times as high is survived",
        PLAYBOOK,
        kind="diverged",
    ),
    _card(
        6,
        "sudden spikes, or gradients far too large",
        "clip gradients at the 90th percentile of their norm",
        "spikes are cut off and the end is the same",
        PLAYBOOK,
        kind="spikes",
    ),
    _card(
        7,
        "a spike in a long run",
        "go back about 100 steps and leave out the next 200 to 500 batches",
        "the spike does not come again",
        PALM,
        kind="spikes",
    ),
    _card(
        8,
        "the loss rises and stays up, or does so again and again",
        "go back to an earlier checkpoint and go on with a lower learning rate",
        "the run survives the place",
        OPT,
        kind="diverged",
    ),
    _card(
        9,
        "more than half of the updates are clipped",
        "lower the learning rate instead of clipping more",
        "the same result, with one knob less",
        PLAYBOOK,
    ),
    _card(
        10,
        "the best learning rate is just below the one that diverges",
        "warm up, normalise or start residual branches smaller, then try 10 times the learning rate",
        "a better optimum",
        PLAYBOOK,
    ),
    _card(
        11,
        "the training loss is flat from the start",
        "check that gradients arrive and that inputs and labels belong together; learning rate 3 to 10 times as high; "
        "Adam at 3e-4",
        "the loss falls",
        RECIPE,
        _rule("LossNotDecreasing"),
        kind="not_learning",
    ),
    _card(
        12,
        "the loss falls very smoothly and slowly",
        "raise the learning rate",
        "faster in the end; a short fork calls it worse at first",
        CS231N_RECALLED,
        SHORT_HORIZON,
    ),
    _card(
        13,
        "the loss jitters",
        "lower the learning rate, make batches larger, or average the weights",
        "smoother; a short fork praises this too much",
        RECIPE,
        SHORT_HORIZON,
    ),
    _card(
        14,
        "the loss jitters around a level and no longer falls",
        "let the learning rate go to 0, by a cosine or a line",
        "a quick drop",
        PLAYBOOK,
        GOODFELLOW_RECALLED,
        kind="noise_ball",
    ),
    _card(
        15,
        "the learning rate is next to 0 too early, or is not the one that was asked for",
        "look at what the optimizer has in force and what drives it; constant first, tune the decay last",
        "the run goes on learning",
        RECIPE,
        kind="learning_rate",
    ),
    _card(
        16,
        "updates are too large or too small for the weights",
        "scale the learning rate by group until a step changes weights by about 1e-3 of themselves (others say 1e-2)",
        "the ratio is in its band",
        CS231N,
        GOODFELLOW,
        _rule("WeightUpdateRatio"),
        conflict=True,
    ),
    _card(
        17,
        "the first layers have next to no gradient",
        "residual branches and normalisation, other start values, an activation that does not saturate",
        "gradients become even",
        GOODFELLOW_RECALLED,
        _rule("VanishingGradient"),
        kind="gradients",
    ),
    _card(
        18,
        "many units never fire",
        "lower the learning rate; LeakyReLU or GELU; other start values",
        "the share of dead units falls",
        _rule("DeadRelu"),
        kind="dead_units",
    ),
    _card(
        19,
        "tanh or sigmoid units are saturated",
        "normalise inputs, choose other start values, add normalisation layers",
        "activations are around their middle",
        _rule("SaturatedActivation"),
        CS231N_RECALLED,
    ),
    _card(
        20,
        "a layer never changes",
        "look at requires_grad, at what was given to the optimizer, and for a detach on the way",
        "it moves",
        _rule("UnchangedTensor"),
        kind="forgotten",
    ),
    _card(
        21,
        "losses of training and validation are both high, and close",
        "a larger model, longer training, less regularisation",
        "both fall",
        RECIPE,
        CS231N_RECALLED,
    ),
    _card(
        22,
        "the training loss falls while that of validation rises",
        "more data; if there is none, augmentation; then dropout or weight decay; last a smaller network",
        "the gap narrows and training becomes a little worse",
        RECIPE,
        FASTBOOK,
        _rule("Overfit"),
        kind="overfit",
    ),
    _card(
        23,
        "the validation loss rises while its accuracy still does too",
        "smooth labels or set a temperature; judge by the metric that matters to you",
        "probabilities mean what they say",
        FASTBOOK,
        kind="overfit",
    ),
    _card(
        24,
        "validation is best long before the end",
        "keep the best; shorten the schedule",
        "the same score in less time",
        PLAYBOOK,
        _rule("Overtraining"),
    ),
    _card(
        25,
        "the best step is in the last quarter",
        "train longer, and tune the decay again",
        "a gain",
        PLAYBOOK,
    ),
    _card(
        26,
        "augmentation seems to hurt in a short run",
        "train longer before judging: after 5 epochs mixup is worse",
        "it helps late",
        FASTBOOK,
        SHORT_HORIZON,
    ),
    _card(
        27,
        "validation is better than training",
        "ask whether dropout or augmentation explain it; look for examples that are on both sides; enlarge a small set",
        "it is explained",
        CS231N_RECALLED,
        kind="leak",
    ),
    _card(
        28,
        "the validation metric jumps up and down",
        "a larger validation set, the mean of several seeds, averaged weights",
        "less noise",
        PLAYBOOK,
        RECIPE,
    ),
    _card(
        29,
        "a rare class is ignored",
        "weight it, sample it more often, or start the bias at its frequency",
        "recall rises, precision falls",
        RECIPE,
        _rule("ClassImbalance"),
    ),
    _card(
        30,
        "the batch size was changed",
        "tune learning rate, momentum and regularisation again, together",
        "the difference goes away",
        PLAYBOOK,
    ),
    _card(
        31,
        "small batches with BatchNorm are noisy",
        "GroupNorm, ghost BatchNorm or larger batches; that noise regularises too",
        "steadier",
        PLAYBOOK,
        RECIPE,
        conflict=True,
    ),
    _card(
        32,
        "dropout together with BatchNorm",
        "leave one of them out",
        "often better",
        RECIPE,
    ),
    _card(
        33,
        "features of a pretrained network are wrecked",
        "train the head first with the rest frozen, lower learning rates for lower layers, unfreeze later",
        "the features stay",
        FASTBOOK,
        DEOLDIFY,
    ),
    _card(
        34,
        "fine-tuning forgets what was learnt",
        "a lower learning rate, fewer steps, some of the old data",
        "less is forgotten",
        FASTBOOK,
    ),
    _card(
        35,
        "training at full resolution is slow",
        "grow the images: 64, then 128, then 192",
        "most of the quality early",
        DEOLDIFY,
        RECIPE,
    ),
    _card(
        36,
        "images are blurred or brownish under L1 or L2",
        "add a loss on features of a trained network, then an adversarial one",
        "more detail and colour, a larger pixel error",
        DEOLDIFY,
    ),
    _card(
        37,
        "images have glitches, like the skin of an orange",
        "end the GAN stage earlier; raise the ratio of feature loss to adversarial loss from 1.5 to 2",
        "fewer glitches, less colour",
        DEOLDIFY,
    ),
    _card(
        38,
        "the critic's loss goes to 0",
        "a lower learning rate for it, noise on its inputs, labels of .9, spectral normalisation, a gradient penalty",
        "the generator gets a gradient",
        GANHACKS,
        IMPROVED_GANS,
        SPECTRAL,
        PENALTY,
    ),
    _card(
        39,
        "the critic cannot keep up",
        "a higher learning rate for it, or train it alone until its loss is below .65; others advise against balancing",
        "the sources disagree: fork it",
        DEOLDIFY,
        GANHACKS,
        conflict=True,
    ),
    _card(
        40,
        "the generator's loss falls steadily",
        "look at samples: it may fool a weak critic with garbage; strengthen the critic",
        "an honest game",
        GANHACKS,
    ),
    _card(
        41,
        "gradient norms above 100 in a GAN",
        "a lower learning rate, a gradient penalty",
        "calm",
        GANHACKS,
    ),
    _card(
        42,
        "the same sample over and over",
        "statistics of the batch as an input, a gradient penalty, a lower learning rate",
        "diversity",
        GANHACKS,
        IMPROVED_GANS,
        PENALTY,
    ),
    _card(
        43,
        "checkerboards in images",
        "resize and convolve, or a kernel that the stride divides; weaken a loss on sharpness",
        "they are gone",
        CHECKERBOARD,
        MEASURED,
    ),
    _card(
        44,
        "a metric reaches its target and the result looks wrong",
        "the loss is being gamed: taste, add a second metric, lower the weight",
        "metric and taste agree again",
        DEOLDIFY,
        MEASURED,
    ),
)
