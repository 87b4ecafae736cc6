"""Symptoms are told while a training goes on, once each, with what helps; a healthy one is left in peace."""

import pytest
from tests.cooking.test_live import SHUFFLED, run_of
from tests.cooking.trainings import run

from palate.store.reader import read_journal

pytestmark = pytest.mark.slow

TRAINING = """
import pickle
net = nn.Sequential(nn.Linear(6, 16), nn.ReLU(), nn.Linear(16, 2))
{more}
opt = torch.optim.SGD({parameters}, lr={lr})
run = palate.start("t", model=net, optimizer=opt{options})
for epoch in run.epochs(40):
    for x, y in run.steps(loader):
        loss = run.mix(ce=F.cross_entropy(net(x), y))
        opt.zero_grad(); loss.backward(); opt.step()
        if run.step == 0: pickle.loads(pickle.dumps(net))
"""


def symptoms(folder, *, lr=0.1, parameters="net.parameters()", more="", options=""):
    body = TRAINING.format(lr=lr, parameters=parameters, more=more, options=options)
    printed = run(folder, SHUFFLED + body)
    events = [event for event in read_journal(run_of(folder) / "journal").events if event["kind"] == "symptom"]
    return printed, {event["symptom"]: event for event in events}


def test_a_healthy_training_is_left_in_peace(tmp_path):
    printed, told = symptoms(tmp_path)
    assert told == {}
    assert "palate:" not in printed


def test_a_learning_rate_that_is_too_high_is_told_with_what_helps(tmp_path):
    printed, told = symptoms(tmp_path, lr=1e6)
    assert {"not_finite", "diverged", "spikes"} & told.keys()
    assert "What often helps" in printed


def test_parameters_that_no_optimizer_has_are_named_with_their_layer(tmp_path):
    printed, told = symptoms(tmp_path, parameters="net[2].parameters()")
    assert "forgotten" in told
    assert "0.weight" in told["forgotten"]["words"]
    assert printed.count(told["forgotten"]["words"]) == 1


def test_who_wants_no_symptoms_hears_none(tmp_path):
    assert symptoms(tmp_path, lr=1e6, options=", symptoms=False") == ("", {})
