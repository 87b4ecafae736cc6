"""A taste is kept with the run, whatever the callables do; what people say of it is too."""

import hashlib
import json
import subprocess
import sys
import threading
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from palate.cooking.inflection import Measured, colourfulness, gradient_energy, measure, propose
from palate.cooking.pictures import NOT_FINITE, lay_out
from palate.cooking.png import read_png, write_png
from palate.cooking.sampled import read_reference, read_samples
from palate.cooking.taste import Taster
from palate.cooking.tastings import FILE, Word, exact_interval, in_force, preferred_of, read_words, say_word, tags_of
from palate.errors import InputError, NotFoundError

NOW = datetime(2026, 11, 27, 12, tzinfo=UTC)


@pytest.fixture
def heard():
    return []


@pytest.fixture
def taster(tmp_path, heard):
    return Taster(tmp_path, say=heard.append, clock=lambda: NOW)


def word(kind="tag", value="done", step=900, author="ada", **more):
    return Word(author=author, time=NOW, step=step, kind=kind, value=value, **more)


def test_a_taste_leaves_a_picture_and_what_is_known_of_it(tmp_path, taster):
    images = np.zeros((5, 3, 4, 6))
    images[1] = 1
    taste = taster.taste(
        900, grid=lambda: images, metrics=lambda: {"fid": 12.5, "is": float("nan")}, value_range=(0, 1)
    )
    assert taste.picture == tmp_path / "samples" / "00000900.png"
    told = json.loads(taste.picture.with_suffix(".json").read_text())
    assert told["sha256"] == hashlib.sha256(taste.picture.read_bytes()).hexdigest()
    assert told["metrics"] == {"fid": 12.5, "is": "nan"}
    assert told["time"] == NOW.isoformat()
    assert (told["layout"]["rows"], told["layout"]["columns"]) == (3, 2)
    assert (told["layout"]["low"], told["layout"]["high"], told["layout"]["assumed"]) == (0, 1, False)
    (sample,) = read_samples(tmp_path)
    assert [int(cell.mean()) for cell in sample.cells()] == [0, 255, 0, 0, 0]
    assert np.isnan(sample.metrics["is"])


@pytest.mark.parametrize(
    ("shape", "order"),
    [((2, 3, 8, 8), "NCHW"), ((2, 8, 8, 3), "NHWC"), ((2, 1, 8, 8), "NCHW"), ((3, 8, 8), "CHW"), ((8, 8, 4), "HWC"),
     ((5, 8, 8), "NHW"), ((8, 8), "HW")],
)  # fmt: skip
def test_images_come_in_any_usual_order_of_axes(shape, order):
    grid, layout = lay_out(np.zeros(shape))
    assert layout.order == order
    assert layout.count == (shape[0] if len(shape) == 4 or order == "NHW" else 1)
    assert grid.shape[2] == 3


def test_tensors_integers_and_lists_of_different_sizes_are_images_too(torch):
    half = torch.full((2, 3, 4, 4), 0.5, dtype=torch.bfloat16, requires_grad=True)
    assert lay_out(half)[0].max() == 128
    assert lay_out(np.full((4, 4), 200, np.uint8))[0].max() == 200
    assert lay_out(np.ones((4, 4), bool))[0].max() == 255
    _, layout = lay_out([np.ones((4, 4)), torch.ones(3, 8, 2)])
    assert (layout.count, layout.cell_height, layout.cell_width) == (2, 8, 4)


def test_pictures_of_pillow_are_images_where_it_is_there():
    pillow = pytest.importorskip("PIL.Image")
    grid, layout = lay_out([pillow.new("L", (6, 4), 90), pillow.new("RGB", (6, 4), (1, 2, 3))])
    assert layout.cells(grid)[0][0, 0].tolist() == [90, 90, 90]
    assert layout.cells(grid)[1][0, 0].tolist() == [1, 2, 3]


def test_the_range_of_values_is_guessed_and_kept_for_the_run(tmp_path, taster, heard):
    assert lay_out(np.full((4, 4), 0.5))[1].high == 1
    assert lay_out(np.full((4, 4), 200.0))[1].high == 255
    centred = np.linspace(-1, 1, 64).reshape(1, 1, 8, 8)
    assert taster.taste(1, grid=centred).layout.low == -1
    later = taster.taste(2, grid=np.full((1, 1, 8, 8), 0.5))
    assert (later.layout.low, later.layout.assumed) == (-1, True)
    assert heard == ["taste: the images' values assumed -1 to 1; say which by value_range="]


@pytest.mark.parametrize(
    ("images", "why"),
    [(np.zeros((2, 5, 7, 7, 7)), "holds no images"), (np.zeros((2, 5, 7, 7)), "holds no images"), (["a"], "numbers"),
     ([], "no image"), (np.zeros((0, 3, 4, 4)), "no image"), (object(), "numbers"), (7, "holds no images")],
)  # fmt: skip
def test_what_is_no_image_is_told(images, why):
    with pytest.raises(InputError, match=why):
        lay_out(images)


def test_nan_is_drawn_in_magenta_and_counted(taster, heard):
    images = np.zeros((1, 1, 4, 4))
    images[0, 0, 1, 2] = np.nan
    images[0, 0, 1, 3] = np.inf
    taste = taster.taste(3, grid=images)
    assert taste.layout.not_finite == 2
    assert "2 values are NaN or infinite" in heard[-1]
    grid = read_png(taste.picture.read_bytes())
    assert taste.layout.cells(grid)[0][1, 2].tolist() == list(NOT_FINITE)


def test_large_and_many_images_are_bounded():
    _, layout = lay_out(np.zeros((100, 1, 8, 8), np.uint8))
    assert (layout.count, layout.left_out) == (64, 36)
    grid, layout = lay_out(np.zeros((1, 5000, 3000), np.uint8))
    assert max(grid.shape) <= 4100
    assert layout.scale == 2


@given(st.integers(1, 40), st.integers(1, 40), st.sampled_from([1, 3]), st.integers(0, 2**32 - 1))
def test_a_png_gives_back_its_pixels(height, width, channels, seed):
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, channels), np.uint8)
    assert np.array_equal(read_png(write_png(pixels)), pixels)


def test_a_png_is_what_others_read_too():
    pillow, io = pytest.importorskip("PIL.Image"), pytest.importorskip("io")
    pixels = np.random.default_rng(0).integers(0, 256, (17, 9, 3), np.uint8)
    with pillow.open(io.BytesIO(write_png(pixels))) as read:
        assert np.array_equal(np.asarray(read), pixels)


@pytest.mark.parametrize(
    "spoil", [lambda f: f[:-20], lambda f: b"GIF89a", lambda f: f[:30] + b"x" + f[31:], lambda f: b""]
)
def test_a_damaged_picture_is_refused(spoil):
    with pytest.raises(InputError, match="no picture that palate wrote"):
        read_png(spoil(write_png(np.zeros((9, 9, 3), np.uint8))))


def test_a_callable_that_raises_harms_nothing_and_is_said_once(tmp_path, taster, heard):
    for step in (1, 2):
        taste = taster.taste(step, grid=lambda: 1 / 0, metrics=lambda: {"loss": 1.0}, texts=lambda: ["once"])
        assert taste.metrics == {"loss": 1.0}
        assert taste.picture is None
        assert taste.faults == ("grid: ZeroDivisionError: division by zero",)
    assert [line for line in heard if "ZeroDivisionError" in line] == heard
    assert len(heard) == 1
    assert "1 / 0" in read_samples(tmp_path)[1].faults[0]


def test_metrics_that_are_none_are_told(taster):
    assert "no number: name='high'" in taster.taste(1, metrics={"name": "high", "x": 1}).faults[0]
    assert "no {name: number}" in taster.taste(2, metrics=[1]).faults[0]
    with pytest.raises(InputError, match="no step"):
        taster.taste(-1)
    with pytest.raises(InputError, match="no step"):
        taster.taste(1.5)


def test_texts_are_kept_without_secrets_and_random_text_stays(tmp_path, taster, monkeypatch):
    monkeypatch.setenv("HF_TOKEN", "hf_q7Xz1Lw9BvKp3Rt6Ym2Ns8")
    babble = "q7Xz1Lw9BvKp3Rt6"
    taste = taster.taste(1, texts=[babble, "the token is hf_q7Xz1Lw9BvKp3Rt6Ym2Ns8", "half \ud800"])
    assert taste.texts == (babble, "the token is <secret>", "half ?")
    assert read_samples(tmp_path)[0].texts == taste.texts
    assert "takes strings" in taster.taste(2, texts=[1]).faults[0]


def test_a_disk_that_cannot_be_written_is_said_and_the_run_goes_on(tmp_path, heard):
    (tmp_path / "samples").write_text("a file where the folder should be")
    taste = Taster(tmp_path, say=heard.append).taste(1, grid=np.zeros((4, 4)), metrics={"loss": 1})
    assert taste.picture is None
    assert taste.metrics == {"loss": 1.0}
    assert "cannot be kept" in heard[-1]


def test_what_a_training_imports_to_be_tasted_is_the_standard_library():
    code = (
        "import sys, palate.cooking.taste, palate.cooking.tastings; print({'torch', 'numpy', 'scipy'} & {*sys.modules})"
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert ended.stdout == "set()\n", ended.stderr


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no device that is always full")
def test_words_on_a_full_disk_are_refused_and_not_lost_silently(tmp_path):
    (tmp_path / FILE).symlink_to("/dev/full")
    with pytest.raises(Exception, match="cannot be written"):
        say_word(tmp_path, word())


def test_a_taste_leaves_the_training_bitwise_as_it_was(tmp_path, torch):
    def train(taster):
        torch.manual_seed(0)
        net = torch.nn.Sequential(
            torch.nn.Linear(4, 8), torch.nn.BatchNorm1d(8), torch.nn.Dropout(0.5), torch.nn.Linear(8, 1)
        )
        own = torch.Generator().manual_seed(2)
        taster = taster and Taster(tmp_path, modules=[net], generators=[own], say=lambda _: None)
        sgd = torch.optim.SGD(net.parameters(), lr=0.1, momentum=0.9)

        def sample():
            net.eval()  # and never back
            torch.randn(3, generator=own)
            return torch.rand(4, 1, 8, 8) + net(torch.randn(4, 4)).reshape(4, 1, 1, 1)

        for step in range(8):
            if taster:
                assert (
                    taster.taste(step, grid=sample, metrics=lambda: {"x": net(torch.randn(4, 4)).mean()}).faults == ()
                )
            sgd.zero_grad()
            net(torch.randn(16, 4) + torch.randn(1, generator=own)).square().mean().backward()
            sgd.step()
        return net.state_dict()

    plain, tasted = train(False), train(True)
    assert all(torch.equal(plain[name], tasted[name]) for name in plain)
    first, second = (sample.metrics["x"] for sample in read_samples(tmp_path)[:2])
    assert first != second


def test_a_callable_that_changes_weights_is_told(torch, tmp_path, heard):
    net = torch.nn.Linear(2, 2)
    taster = Taster(tmp_path, modules=[net], say=heard.append)
    taste = taster.taste(1, metrics=lambda: {"x": net.weight.add_(1).sum()})
    assert "it changed weight, which cannot be put back" in taste.faults[0]


def test_references_are_kept_once(tmp_path):
    taster = Taster(tmp_path, references=lambda: np.full((2, 3, 4, 4), 0.5), say=lambda _: None)
    taster.taste(1)
    taster.taste(2)
    assert [cell.mean() for cell in read_reference(tmp_path)] == [128, 128]
    assert [sample.step for sample in read_samples(tmp_path)] == [1, 2]


def test_samples_that_cannot_be_read_are_left_out_and_a_changed_picture_is_not_shown(tmp_path, taster):
    for step in (1, 2, 3):
        taster.taste(step, grid=np.zeros((4, 4)))
    folder = tmp_path / "samples"
    (folder / "00000001.json").write_text('{"step": 1')
    (folder / "00000004.json").write_text('[{"step": "x"}]')
    (folder / "00000002.png").write_bytes(write_png(np.ones((4, 4, 3), np.uint8)))
    assert [sample.step for sample in read_samples(tmp_path)] == [2, 3]
    assert [sample.pixels() is None for sample in read_samples(tmp_path)] == [True, False]
    assert read_samples(tmp_path / "nowhere") == []


def test_what_is_said_is_kept_and_a_word_can_be_taken_back(tmp_path):
    for said in (
        word(),
        word(kind="grade", value="2"),
        word(kind="grade", value="4"),
        word(value="orange skin", step=950),
    ):
        say_word(tmp_path, said)
    assert tags_of(tmp_path) == {"done", "orange skin"}
    held = in_force(read_words(tmp_path))
    assert [(one.kind, one.value) for one in held] == [("tag", "done"), ("grade", "4"), ("tag", "orange skin")]
    say_word(tmp_path, word(kind="undo", value=held[0].id))
    say_word(tmp_path, word(kind="undo", value=held[2].id, author="bob"))  # nobody takes back another's word
    assert tags_of(tmp_path) == {"orange skin"}
    assert len(read_words(tmp_path)) == 6


def test_a_torn_last_line_is_left_out_and_the_next_word_stands_on_its_own(tmp_path):
    say_word(tmp_path, word())
    path = tmp_path / FILE
    path.write_bytes(path.read_bytes() + b'{"id": "x", "author"')
    assert [one.value for one in read_words(tmp_path)] == ["done"]
    say_word(tmp_path, word(value="later"))
    assert [one.value for one in read_words(tmp_path)] == ["done", "later"]
    path.write_bytes(path.read_bytes() + b'\n[1]\n"x"\n\xff\xfe\n{"time": 3}\n')
    assert tags_of(tmp_path) == {"done", "later"}


def test_many_at_once_lose_no_word(tmp_path):
    def say(name):
        for place in range(25):
            say_word(tmp_path, word(value=f"{name} {place}"))

    threads = [threading.Thread(target=say, args=(name,)) for name in "abcd"]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    assert len(tags_of(tmp_path)) == 100


def test_what_cannot_be_said_is_refused(tmp_path):
    for wrong in ({"kind": "grade", "value": "6"}, {"value": " "}, {"value": "x" * 61}, {"kind": "praise"}):
        with pytest.raises(InputError):
            word(**wrong)
    with pytest.raises(NotFoundError):
        say_word(tmp_path / "nowhere", word())
    say_word(tmp_path, word(value="password=hunter22x"))
    assert tags_of(tmp_path) == {"password=<secret>"}


def test_preferences_are_counted_with_their_exact_interval():
    said = [word(kind="preference", value=name, step=step) for step, name in enumerate(["a"] * 9 + ["b"] + [""])]
    preferred = preferred_of(said, "a")
    assert (preferred.n, preferred.count, preferred.neither) == (10, 9, 1)
    assert preferred.words == (
        "preferred in 9 of 10 (90%, exact 95 % interval 55% to 100%; 1 without a difference; "
        "of these two runs alone, as if neighbouring samples were independent)"
    )
    assert "may be chance" in preferred_of(said[:3], "b").words or preferred_of(said[:3], "b").count == 0
    # NIST/SEMATECH e-Handbook, 7.2.4.1: 4 of 20, 90 %
    assert exact_interval(4, 20, 0.90) == pytest.approx((0.071354, 0.401029), abs=1e-6)


def test_colourfulness_and_sharpness_are_as_their_sources_define_them():
    assert colourfulness(np.full((2, 2, 3), (0, 0, 255))) == pytest.approx(0.3 * 255)
    halves = np.zeros((2, 2, 3))
    halves[0] = (255, 0, 0)
    assert colourfulness(halves) == pytest.approx(np.hypot(127.5, 63.75) + 0.3 * np.hypot(127.5, 63.75))
    ramp = np.repeat(np.arange(8.0)[None, :, None], 3, axis=2).repeat(4, axis=0)
    assert gradient_energy(ramp) == pytest.approx(1)
    assert measure(1, [2 * ramp], [ramp]).sharpness == pytest.approx(4)
    assert measure(1, []) is None


def curves(rng, n):
    settles = 1 - np.exp(-np.arange(n) / (n / 6))
    return 60 + 20 * settles + 0.5 * rng.standard_normal(n), settles + 0.02 * rng.standard_normal(n)


def measured(colour, sharpness):
    return [
        Measured(step=50 * step, colour=one, sharpness=other)
        for step, (one, other) in enumerate(zip(colour, sharpness, strict=True))
    ]


def test_the_last_sample_before_a_jump_is_proposed_in_words():
    colour, sharpness = curves(np.random.default_rng(1), 40)
    sharpness[30:] += 0.4
    proposal = propose(measured(colour, sharpness))
    assert (proposal.step, proposal.changed_at, proposal.measure) == (29 * 50, 30 * 50, "sharpness")
    assert "Look at 1450, the last one before the change; it is a proposal, and you taste." in proposal.words


def test_a_run_that_settles_down_gives_hardly_ever_a_proposal_and_a_jump_mostly_does():
    rng = np.random.default_rng(2)
    quiet, found = 0, 0
    for _ in range(100):
        colour, sharpness = curves(rng, 40)
        quiet += propose(measured(colour, sharpness)) is not None
        sharpness[30:] += 0.2
        proposal = propose(measured(colour, sharpness))
        found += proposal is not None and proposal.step == 29 * 50
    assert quiet <= 5
    assert found >= 90


def test_too_few_and_equal_samples_give_no_proposal():
    assert propose(measured(*curves(np.random.default_rng(0), 11))) is None
    assert propose(measured([50.0] * 30, [1.0] * 30)) is None
    assert propose(measured([50.0] * 30, [float("nan")] * 30)) is None
