"""What runs cost is said with the pairs that are to come, and where it is worth a word."""

import io
from contextlib import redirect_stderr, redirect_stdout

from palate.cli.terminal.progress import Quiet
from palate.loop.ask import Noticed
from palate.loop.cost import Cost, usage_document, usage_words
from palate.training.usage import Usage
from palate.verdict.outlook import Outlook
from palate.verdict.rule import Failures, Verdict
from palate.verdict.words import headline
from palate.vocabulary import Metric

GIB = 1 << 30


def open_verdict():
    return Verdict(
        kind="unclear", n=3, budget=20, effect=0.01, raw=0.01, low=-0.01, high=0.03, margin=0.01, failures=Failures()
    )


def test_more_pairs_are_told_with_time_and_gpu_hours():
    metric, outlook = Metric(name="val_acc", goal="max"), Outlook(chance=0.9, low=3, high=5)
    said = headline(open_verdict(), metric, outlook=outlook, pair_s=144.0, pair_gpu=".4 GPU-hours")
    assert said.endswith("; 3-5 more pairs expected (about 12 min and .4 GPU-hours at most).")
    assert "GPU" not in headline(open_verdict(), metric, outlook=outlook, pair_s=144.0)


def test_what_a_run_took_is_said_from_a_gibibyte_on_or_where_it_used_a_gpu():
    assert Cost(pair_s=1.0, cpu_peak=300 << 20, gpu_peak=0).words == ""
    assert Cost(pair_s=1.0, cpu_peak=3 * GIB).words == "a run took 3 GiB of memory at most"
    used = Cost(pair_s=1.0, gpu_hours=0.4, cpu_peak=GIB, gpu_peak=4 * GIB, device="NVIDIA H100")
    assert used.words == "a run took 1 GiB of memory at most, 4 GiB of its GPU (NVIDIA H100); .4 GPU-hours in all"


def test_one_run_is_told_with_what_cannot_be_known():
    usage = Usage(cpu_peak=GIB, gpu_peak=2 * GIB, gpus=1, device="NVIDIA H100")
    assert (
        usage_words(usage, 1800)
        == "It took 30 min, 1 GiB of memory at most, 2 GiB of its GPU (NVIDIA H100), .5 GPU-hours."
    )
    assert usage_document(usage, 1800)["gpu_hours"] == 0.5
    unknown = Usage(cpu_peak=GIB, gpus=1)
    assert usage_words(unknown, 40) == "It took 40 s, 1 GiB of memory at most, what it took of its GPU cannot be told."


def test_what_is_waited_for_is_said_beside_one_json_document_on_standard_error():
    out, err = io.StringIO(), io.StringIO()
    with redirect_stdout(out), redirect_stderr(err):
        Quiet().show(Noticed("r0 has printed and logged nothing for 60 s", waits=True))
        Quiet().show(Noticed("something else"))
    assert (out.getvalue(), err.getvalue()) == ("", "r0 has printed and logged nothing for 60 s\n")
