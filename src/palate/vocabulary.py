"""The words of the loop, one meaning each; standard library only."""

import math
import re
from collections.abc import Collection, Iterable
from dataclasses import dataclass, replace
from typing import Literal

from palate.errors import InputError

Goal = Literal["max", "min"]

Arm = str
"""An arm's name; the first is always the baseline."""

BASELINE: Arm = "baseline"

TREATMENT: Arm = "treatment"

Ending = Literal["finished", "nan", "crashed", "timeout", "no_metric", "interrupted", "lost points", "out of memory"]
"""How a run ended: with a number, with NaN or infinity, by a fault, too late, without the metric, by hand; or nobody
can tell, as points that it logged are not there; or memory ran out."""

FAILED: frozenset[Ending] = frozenset({"nan", "crashed", "timeout", "no_metric", "out of memory"})

_NAMES: tuple[tuple[str, Goal, str], ...] = (
    (
        "torchmetrics 1.9, higher_is_better = True",
        "max",
        """accuracy acc auroc average_precision cohen_kappa concordance_corr_coef cosine_similarity dice dice_score
        exact_match explained_variance f1 f1_score fbeta fbeta_score generalized_dice_score jaccard_index
        intersection_over_union mean_iou matthews_corr_coef mean_average_precision panoptic_quality precision recall
        r2 r2_score retrieval_map retrieval_mrr retrieval_hit_rate retrieval_normalized_dcg inception_score
        peak_signal_noise_ratio psnr structural_similarity_index_measure ssim ms_ssim clip_score bleu bleu_score
        sacre_bleu sacre_bleu_score chrf chrf_score rouge rouge_score bert_score squad signal_noise_ratio snr si_snr
        signal_distortion_ratio sdr si_sdr short_time_objective_intelligibility stoi pesq spearman_corr_coef
        specificity""",
    ),
    (
        "torchmetrics 1.9, higher_is_better = False",
        "min",
        """calibration_error hamming_distance hinge_loss hausdorff_distance edit_distance extended_edit_distance
        frechet_inception_distance fid kernel_inception_distance kid kl_divergence jensen_shannon_divergence
        learned_perceptual_image_patch_similarity lpips log_cosh_error match_error_rate mer mean_absolute_error mae
        mean_absolute_percentage_error mape mean_squared_error mse mean_squared_log_error msle
        normalized_root_mean_squared_error nrmse perplexity ranking_loss relative_squared_error
        symmetric_mean_absolute_percentage_error smape weighted_mean_absolute_percentage_error wmape
        translation_edit_rate word_error_rate wer char_error_rate cer word_info_lost continuous_ranked_probability_score
        crps""",
    ),
    (
        "scikit-learn 1.9, get_scorer_names(): a scorer is higher where it is better",
        "max",
        """adjusted_mutual_info_score adjusted_rand_score balanced_accuracy completeness_score d2_absolute_error_score
        d2_brier_score d2_log_loss_score fowlkes_mallows_score homogeneity_score jaccard matthews_corrcoef
        mutual_info_score neg_brier_score neg_log_loss neg_max_error neg_mean_absolute_error
        neg_mean_absolute_percentage_error neg_mean_gamma_deviance neg_mean_poisson_deviance neg_mean_squared_error
        neg_mean_squared_log_error neg_median_absolute_error neg_root_mean_squared_error
        neg_root_mean_squared_log_error normalized_mutual_info_score rand_score roc_auc roc_auc_ovo roc_auc_ovr
        top_k_accuracy v_measure_score""",
    ),
    (
        "scikit-learn 1.9, metrics named _error, _loss or _deviance: lower is better",
        "min",
        """brier_score brier_score_loss log_loss max_error mean_gamma_deviance mean_poisson_deviance
        median_absolute_error root_mean_squared_error rmse root_mean_squared_log_error rmsle zero_one_loss""",
    ),
    (
        "Keras 3, keras.metrics: accuracies and overlaps",
        "max",
        """auc binary_accuracy categorical_accuracy sparse_categorical_accuracy top_k_categorical_accuracy
        sparse_top_k_categorical_accuracy binary_io_u one_hot_io_u sensitivity_at_specificity""",
    ),
    (
        "Keras 3, keras.losses: what is minimized",
        "min",
        """loss binary_crossentropy categorical_crossentropy sparse_categorical_crossentropy categorical_hinge hinge
        huber log_cosh poisson squared_hinge""",
    ),
    (
        "PyTorch 2, torch.nn: losses",
        "min",
        """bce bce_loss ce ce_loss cross_entropy cross_entropy_loss huber_loss kl_div kl_loss l1_loss mse_loss mae_loss
        nll nll_loss smooth_l1_loss ctc_loss""",
    ),
    (
        "Hugging Face evaluate, transformers.Trainer and lm-evaluation-harness, higher_is_better: true",
        "max",
        """acc_norm acc_mutual_info contains em f1_macro google_bleu gleu mcc matthews_correlation mc1 mc2 meteor pass
        pearsonr rouge1 rouge2 rouge_l rouge_lsum sacrebleu spearmanr""",
    ),
    (
        "Hugging Face evaluate and lm-evaluation-harness, higher_is_better: false",
        "min",
        """bits_per_byte bpb bpc bits_per_character bits_per_dim bpd brier byte_perplexity word_perplexity ppl ter""",
    ),
    ("timm and torchvision references: accuracies", "max", "top1 top5 acc1 acc5"),
    (
        "Ultralytics and pycocotools: metrics/mAP50-95(B)",
        "max",
        """map map50 map75 map5095 map_b map50_b map5095_b map_m map50_m map5095_m precision_b recall_b precision_m
        recall_m iou miou""",
    ),
    ("Ultralytics: losses", "min", "box_loss cls_loss dfl_loss seg_loss"),
    ("XGBoost and LightGBM, metrics that are maximized", "max", "aucpr ndcg"),
    (
        "XGBoost and LightGBM, metrics that are minimized",
        "min",
        "logloss mlogloss merror mphe binary_logloss multi_logloss binary_error multi_error gamma_deviance",
    ),
    ("fastai and Kaldi: rates of errors", "min", "error err error_rate err_rate eer ece"),
    ("retrieval (TREC, BEIR, MTEB)", "max", "mrr hit_rate hits ndcg recall"),
    (
        "Gymnasium, Stable-Baselines3 and CleanRL",
        "max",
        "reward return episode_reward episode_return episodic_return ep_rew ep_return win_rate success_rate",
    ),
)
"""Names of metrics with who says which way is better; left out where sources disagree (WordInfoPreserved)."""

_SHARES = """accuracy acc acc_norm balanced_accuracy binary_accuracy categorical_accuracy sparse_categorical_accuracy
    top_k_accuracy top1 top5 acc1 acc5 f1 f1_score f1_macro auc auroc roc_auc precision recall iou miou mean_iou dice
    dice_score win_rate err error err_rate error_rate"""
"""Names of metrics that are shares, 0 to 1, and talked about in points."""

_AROUND = """train training trn val valid validation test testing eval evaluation dev holdout heldout rollout charts
    metrics best final last mean avg average median running smoothed ema epoch epochs step steps batch iter iteration
    dataloader idx global overall total macro micro weighted samples strict match flexible extract none at top k top1
    top5 id ood seen unseen wandb tensorboard mlflow trackio lightning transformers keras accelerate printed"""
"""Words that stand before or behind a metric's name and leave it the same metric: who logs it is one."""


def _joined(names: str) -> frozenset[str]:
    return frozenset(name.replace("_", "") for name in names.split())


_GOALS: dict[str, Goal] = {name: goal for _, goal, names in _NAMES for name in _joined(names)}
_SHARE_NAMES, _AROUND_NAMES = _joined(_SHARES), _joined(_AROUND)


@dataclass(frozen=True, slots=True, kw_only=True)
class Metric:
    """What is judged: a name as it is logged, and which way is better.

    Attributes:
        resolution: the smallest step the metric can take (1 / number of test examples for an accuracy), or None
            to take it from the values.
        points: its name is that of a share, which is shown in points (hundredths) while its values are 0 to 1.
    """

    name: str
    goal: Goal
    resolution: float | None = None
    points: bool = False

    def __post_init__(self) -> None:
        if not self.name:
            raise InputError("A metric needs a name.", todo="Name it as it is logged: --metric val_acc")
        if self.goal not in ("max", "min"):
            raise InputError(f"goal {self.goal!r} is neither 'max' nor 'min'.", todo="--goal max  or  --goal min")
        if self.resolution is not None and not (math.isfinite(self.resolution) and self.resolution > 0):
            raise InputError(f"resolution {self.resolution!r} is not a positive number.")

    @property
    def sign(self) -> int:
        """+1 where higher is better, -1 where lower is: what turns a difference into "+ is better"."""
        return 1 if self.goal == "max" else -1

    @property
    def scale(self) -> float:
        """What values are multiplied by to be shown."""
        return 100.0 if self.points else 1.0

    @property
    def unit(self) -> str:
        """The word behind a shown difference, with its space, or nothing."""
        return " points" if self.points else ""

    def shown_for(self, values: Iterable[float | None]) -> "Metric":
        """Return it as these values are shown: as they are logged where one of them is no share of 1.

        >>> Metric(name="val_acc", goal="max", points=True).shown_for([91.2, 0.9]).unit
        ''
        """
        outside = self.points and any(value is not None and not 0 <= value <= 1 for value in values)
        return replace(self, points=False) if outside else self


def name_metric(name: str, goal: Goal | None = None, resolution: float | None = None) -> Metric:
    """Make a metric from its name alone where that is a well-known one.

    Raises:
        InputError: no goal is given and the name is not known.
    """
    known = goal or goal_of_name(name)
    if known is None:
        raise unknown_goal(name)
    return Metric(name=name, goal=known, resolution=resolution, points=_known_in(name, _SHARE_NAMES) is not None)


def goal_of_name(name: str) -> Goal | None:
    """Return which way is better where a whole, well-known metric is named; None for every other name.

    What only says where and when it was measured (train, val, best, @10, epoch) is left out of account.

    >>> goal_of_name("val_mape"), goal_of_name("test/F1Score@10"), goal_of_name("val_mapping_quality")
    ('min', 'max', None)
    """
    known = _known_in(name, _GOALS)
    return None if known is None else _GOALS[known]


def unknown_goal(name: str, why: str = "") -> InputError:
    """Say that nobody can tell which way a metric is better."""
    return InputError(
        f"{name}: is higher better, or lower?",
        why=why or "The name is none that is known, and a verdict with the wrong sign would be worse than none.",
        todo=(
            f"Say it: --metric {name} --goal max   (or min)",
            f'In Python: goal="max" (or "min"), beside metric="{name}"',
        ),
    )


def _known_in(name: str, known: Collection[str]) -> str | None:
    """Return the longest run of a name's words that is a known name, where all around it may be left out."""
    words = _words_of(name)
    around = [word in _AROUND_NAMES or word.isdigit() for word in words]
    spans = [(start, end) for start in range(len(words)) for end in range(start + 1, len(words) + 1)]
    for start, end in sorted(spans, key=lambda span: span[0] - span[1]):
        if (joined := "".join(words[start:end])) in known and all(around[:start]) and all(around[end:]):
            return joined
    return None


def _words_of(name: str) -> list[str]:
    """Split a name at whatever is no letter or digit, and at capitals.

    >>> _words_of("metrics/mAP50-95(B)"), _words_of("val.F1Score@10")
    (['metrics', 'm', 'ap50', '95', 'b'], ['val', 'f1', 'score', '10'])
    """
    parted = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", " ", name)
    return [word.lower() for word in re.split(r"[\W_]+", parted) if word]


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """How one run ended, and the metric's value where it ended with one."""

    ending: Ending
    value: float | None = None
    detail: str = ""

    def __post_init__(self) -> None:
        if (self.ending == "finished") != (self.value is not None and math.isfinite(self.value)):
            raise InputError(f"an outcome {self.ending!r} with the value {self.value!r} contradicts itself.")

    @property
    def failed(self) -> bool:
        """Whether it counts as a failure; one that was interrupted or lost points does not: nobody knows its end."""
        return self.ending in FAILED


@dataclass(frozen=True, slots=True, kw_only=True)
class Integrity:
    """Whether all that a run logged is there.

    Attributes:
        status: "whole"; "torn" where the last record is incomplete, as a kill in the middle of a write leaves it, and
            no point is missing of which `log` had returned; "lost points" where points were logged and are not there;
            and "unread" where its journal cannot be read at all.
        lost_points: how many are not there; None where nobody can count them.
        why: what happened, as a sentence; empty where it is whole.
    """

    status: Literal["whole", "torn", "lost points", "unread"] = "whole"
    lost_points: int | None = 0
    why: str = ""

    @property
    def counts(self) -> bool:
        """Whether the run can be judged by: nothing that it logged is missing."""
        return self.status in ("whole", "torn")


WHOLE = Integrity()

Take = Literal["last", "best"]
"""Which value of a curve counts: its last, or its best by the metric's goal."""
