"""A training that palate holds computes, bit for bit, what it computes without; and goes on bitwise elsewhere."""

import json
from pathlib import Path

import pytest
from tests.cooking.trainings import run

from palate.cooking.capsule import capsules_of
from palate.question.branch import Branch, capsule_path
from palate.store.reader import read_journal

pytestmark = pytest.mark.slow

OPTIMIZER = """
opt = torch.optim.AdamW(net.parameters(), lr=1e-2)
sched = torch.optim.lr_scheduler.CosineAnnealingLR(opt, 40)
"""
LOOP = """
STEP = 0
def batches():
    if BARE:
        for _ in range(4):
            yield from loader
    else:
        from palate.cooking.until import steps
        yield from run.steps(loader, until=steps(4 * len(list(range(0, 64, 16)))))

if not BARE:
    run = palate.start("t", model=net, optimizer=opt, scheduler=sched, keep=every(1))
for x, y in batches():
    loss = F.cross_entropy(net(x), y) if BARE else run.mix(ce=F.cross_entropy(net(x), y))
    opt.zero_grad(); loss.backward(); opt.step(); sched.step()
report(model=net, optimizer=opt, scheduler=sched)
"""
LOADERS = {
    "no workers": "loader = DataLoader(TensorDataset(X, Y), batch_size=16, shuffle=True)",
    "no workers, augmented": "loader = DataLoader(Noisy(), batch_size=16, shuffle=True)",
    "workers": "loader = DataLoader(TensorDataset(X, Y), batch_size=16, shuffle=True, num_workers=2)",
    "workers, augmented": "loader = DataLoader(Noisy(), batch_size=16, shuffle=True, num_workers=2)",
    "a stream": "loader = DataLoader(Stream(), batch_size=16)",
    "its own generator": """
loader = DataLoader(Noisy(), batch_size=16, shuffle=True, generator=torch.Generator().manual_seed(3))""",
    "a list": "loader = [(X[i:i + 16], Y[i:i + 16]) for i in range(0, 64, 16)]",
}


def digests(folder: Path) -> dict[str, str]:
    return json.loads((folder / "digests.json").read_text())


def run_of(folder: Path) -> Path:
    """The only run, or the newest."""
    return max((folder / ".palate" / "runs").iterdir(), key=lambda path: path.stat().st_mtime_ns)


@pytest.mark.parametrize("loader", LOADERS.values(), ids=list(LOADERS))
def test_attached_it_equals_the_bare_run_and_goes_on_bitwise_in_a_new_process(loader, tmp_path):
    body = loader + OPTIMIZER + LOOP
    run(tmp_path, body, bare=True)
    bare = digests(tmp_path)
    run(tmp_path, body)
    assert digests(tmp_path) == bare
    trunk = run_of(tmp_path)
    assert set(capsules_of(trunk)) == set(range(17))
    for step in (0, 4, 7, 16):  # at its start, between two passes, in the middle of one, at its end
        branch = Branch(capsule=str(capsule_path(trunk, step)), at=step)
        run(tmp_path, body, environment={"PALATE_BRANCH": branch.text()})
        assert digests(tmp_path) == bare, step


TRAININGS = {
    "gradients added up": """
opt = torch.optim.SGD(net.parameters(), lr=.1, momentum=.9)
if not BARE: run = palate.start("t", model=net, optimizer=opt, keep=every(1))
for epoch in (run.epochs(3) if not BARE else range(3)):
    for i, (x, y) in enumerate(run.steps(loader) if not BARE else loader):
        (F.cross_entropy(net(x), y) / 2).backward()
        if (i if BARE else run.step) % 2:
            opt.step(); opt.zero_grad()
report(model=net, optimizer=opt)
""",
    "zeros instead of none": """
opt = torch.optim.SGD(net.parameters(), lr=.1)
if not BARE: run = palate.start("t", model=net, optimizer=opt, keep=every(1))
for epoch in (run.epochs(3) if not BARE else range(3)):
    net.train()
    for x, y in (run.steps(loader) if not BARE else loader):
        F.cross_entropy(net(x), y).backward()
        opt.step(); opt.zero_grad(set_to_none=False)
    net.eval()
    with torch.no_grad(): net(X)
report(model=net, optimizer=opt)
""",
    "no zero_grad at all": """
opt = torch.optim.SGD(net.parameters(), lr=.01)
if not BARE: run = palate.start("t", model=net, optimizer=opt, keep=every(1))
for epoch in (run.epochs(3) if not BARE else range(3)):
    for x, y in (run.steps(loader) if not BARE else loader):
        F.cross_entropy(net(x), y).backward()
        opt.step()
report(model=net, optimizer=opt)
""",
    "an average, a scaler, memory": """
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn
opt = torch.optim.Adam(net.parameters(), lr=.01)
ema = AveragedModel(net, multi_avg_fn=get_ema_multi_avg_fn(.9), use_buffers=True)
scaler = torch.amp.GradScaler("cpu", init_scale=2.**8, growth_interval=3)
sched = torch.optim.lr_scheduler.ReduceLROnPlateau(opt, patience=1, factor=.5)
best = {"loss": 9., "net": None}; seen = []
own = np.random.default_rng(2)
if not BARE:
    run = palate.start("t", model=net, optimizer=opt, ema=ema, scaler=scaler, scheduler=sched, best=best, seen=seen,
                       own=own, keep=every(1))
for epoch in (run.epochs(3) if not BARE else range(3)):
    for x, y in (run.steps(loader) if not BARE else loader):
        with torch.autocast("cpu", dtype=torch.bfloat16):
            loss = F.cross_entropy(net(x + .1 * float(own.normal())), y)
        opt.zero_grad(); scaler.scale(loss).backward(); scaler.step(opt); scaler.update(); ema.update_parameters(net)
        seen.append(round(float(loss.detach()), 3))
        if float(loss.detach()) < best["loss"]:
            best["loss"] = float(loss.detach()); best["net"] = {k: v.clone() for k, v in net.state_dict().items()}
    sched.step(sum(seen[-4:]))
report(model=net, optimizer=opt, ema=ema, scaler=scaler, scheduler=sched, best=best, seen=seen, own=own)
""",
    "two networks": """
gen = nn.Sequential(nn.Linear(3, 8), nn.ReLU(), nn.Linear(8, 6))
critic = nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 1))
og, oc = torch.optim.Adam(gen.parameters(), lr=.01), torch.optim.RMSprop(critic.parameters(), lr=.01)
if not BARE: run = palate.start("t", model={"gen": gen, "critic": critic}, optimizer=[og, oc], keep=every(1))
for epoch in (run.epochs(3) if not BARE else range(3)):
    for x, y in (run.steps(loader) if not BARE else loader):
        fake = gen(torch.randn(len(x), 3))
        lc = critic(fake.detach()).mean() - critic(x).mean()
        oc.zero_grad(); lc.backward(); oc.step()
        terms = {"adv": -critic(fake).mean(), "l2": (fake - x).pow(2).mean()}
        lg = run.mix(**terms) if not BARE else terms["adv"] + terms["l2"]
        og.zero_grad(); lg.backward(); og.step()
report(gen=gen, critic=critic, og=og, oc=oc)
""",
    "a generator that steps seldom": """
gen = nn.Linear(3, 6); critic = nn.Linear(6, 1)
og, oc = torch.optim.Adam(gen.parameters(), lr=.01), torch.optim.Adam(critic.parameters(), lr=.01)
if not BARE: run = palate.start("t", model={"gen": gen, "critic": critic}, optimizer=[og, oc], keep=every(1))
for epoch in (run.epochs(3) if not BARE else range(3)):
    for i, (x, y) in enumerate(run.steps(loader) if not BARE else loader):
        fake = gen(torch.randn(len(x), 3))
        lc = critic(fake.detach()).mean() - critic(x).mean()
        oc.zero_grad(); lc.backward(); oc.step()
        (-critic(fake).mean()).backward(inputs=list(gen.parameters()))
        if (i if BARE else run.step) % 4 == 3: og.step(); og.zero_grad()
report(gen=gen, critic=critic, og=og, oc=oc)
""",
    "LBFGS": """
net = nn.Sequential(nn.Linear(6, 4), nn.Tanh(), nn.Linear(4, 2))
opt = torch.optim.LBFGS(net.parameters(), lr=.5, max_iter=4, history_size=3)
if not BARE: run = palate.start("t", model=net, optimizer=opt, keep=every(1))
for epoch in (run.epochs(3) if not BARE else range(3)):
    for x, y in (run.steps(loader) if not BARE else loader):
        def closure():
            opt.zero_grad()
            loss = F.cross_entropy(net(x), y) if BARE else run.mix(ce=F.cross_entropy(net(x), y))
            loss.backward()
            return loss
        opt.step(closure)
report(model=net, optimizer=opt)
""",
    "bfloat16": """
net = nn.Sequential(nn.Linear(6, 4), nn.Tanh(), nn.Linear(4, 2)).bfloat16()
opt = torch.optim.AdamW(net.parameters(), lr=.01)
sched = torch.optim.lr_scheduler.OneCycleLR(opt, .02, total_steps=12)
if not BARE: run = palate.start("t", model=net, optimizer=opt, scheduler=sched, keep=every(1))
for epoch in (run.epochs(3) if not BARE else range(3)):
    for x, y in (run.steps(loader) if not BARE else loader):
        loss = F.cross_entropy(net(x.bfloat16()), y)
        opt.zero_grad(); loss.backward(); opt.step(); sched.step()
report(model=net, optimizer=opt, scheduler=sched)
""",
    "two loops an epoch": """
opt = torch.optim.SGD(net.parameters(), lr=.1); other = torch.optim.SGD(net[0].parameters(), lr=.1)
if not BARE: run = palate.start("t", model=net, optimizer=[opt, other], keep=every(1))
for epoch in (run.epochs(2) if not BARE else range(2)):
    for one in (opt, other):
        for x, y in (run.steps(loader) if not BARE else loader):
            loss = F.cross_entropy(net(x), y)
            one.zero_grad(); loss.backward(); one.step()
report(model=net)
""",
}
SHUFFLED = "loader = DataLoader(Noisy(), batch_size=16, shuffle=True)"


@pytest.mark.parametrize("body", TRAININGS.values(), ids=list(TRAININGS))
def test_what_trainings_are_made_of_goes_on_bitwise(body, tmp_path):
    body = SHUFFLED + body
    run(tmp_path, body, bare=True)
    bare = digests(tmp_path)
    run(tmp_path, body)
    assert digests(tmp_path) == bare
    trunk = run_of(tmp_path)
    for step in (3, 8, 9):
        branch = Branch(capsule=str(capsule_path(trunk, step)), at=step)
        run(tmp_path, body, environment={"PALATE_BRANCH": branch.text()})
        assert digests(tmp_path) == bare, step


TASTED = """
opt = torch.optim.Adam(net.parameters(), lr=.01)
if not BARE: run = palate.start("t", model=net, optimizer=opt)
def sample():
    net.eval(); random.random(); np.random.rand()
    return torch.rand(4, 3, 8, 8)
def evaluate():
    net.train()
    return {"fid": float(net(torch.randn(16, 6)).pow(2).mean())}
for epoch in (run.epochs(3) if not BARE else range(3)):
    for x, y in (run.steps(loader) if not BARE else loader):
        loss = F.cross_entropy(net(x), y)
        opt.zero_grad(); loss.backward(); opt.step()
        if not BARE: run.taste(every=5, grid=sample, metrics=evaluate)
report(model=net, optimizer=opt)
"""


def test_tasting_changes_no_bit_of_the_run_and_keeps_samples_with_a_capsule(tmp_path):
    body = SHUFFLED + TASTED
    run(tmp_path, body, bare=True)
    bare = digests(tmp_path)
    run(tmp_path, body)
    assert digests(tmp_path) == bare
    trunk = run_of(tmp_path)
    assert sorted(path.name for path in (trunk / "samples").glob("*.png")) == ["00000005.png", "00000010.png"]
    assert {5, 10} <= capsules_of(trunk).keys()
    assert capsules_of(trunk)[5].why == "tasted"


SEASONED = """
import time
opt = torch.optim.SGD(net.parameters(), lr=.1)
run = palate.start("t", model=net, optimizer=opt)
for epoch in run.epochs(100):
    for x, y in run.steps(loader):
        noise = run.knob("noise", .1, low=0, high=1)
        loss = run.mix(ce=F.cross_entropy(net(x) + noise, y))
        opt.zero_grad(); loss.backward(); opt.step()
        if run.step == 3: run.season(lr="x0.5", noise=.2, why="a test")
        time.sleep(.005)
print(noise)
"""


def test_a_training_can_season_itself(tmp_path):
    printed = run(tmp_path, SHUFFLED + SEASONED)
    assert "0.2" in printed
    events = read_journal(run_of(tmp_path) / "journal").events
    [season] = [event for event in events if event["kind"] == "season"]
    [force] = [event for event in events if event["kind"] == "in force"]
    assert season["why"] == "a test" and season["author"] == "the training"
    assert force["in_force"]["lr"] == pytest.approx(0.05) and force["in_force"]["noise"] == 0.2
