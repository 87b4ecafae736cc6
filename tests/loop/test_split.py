"""Several changes at once are split: each effect is judged on the cells of a design."""

import pytest
from tests.loop.trained_project import DEBUG, SCRIPT, Recorder

from palate.errors import InputError
from palate.loop.ask import Looked
from palate.loop.split import make_split, run_split


def split(trained, person=None, **options):
    question = trained.question(gain=0.9, width=16, **options)
    with trained.catalog() as catalog:
        return run_split(catalog, question, DEBUG, person or Recorder())


def test_two_changes_are_credited_each_with_its_own_gain(trained):
    person = Recorder()
    report = split(trained, person)
    verdicts = {report.split.effect_name(one.effect): one.verdict for one in report.effects.judged}
    assert {name: verdicts[name].kind for name in ("gain", "width")} == {"gain": "better", "width": "better"}
    assert verdicts["gain"].raw == pytest.approx(0.16, abs=0.01)
    assert verdicts["width"].raw == pytest.approx(0.02, abs=0.01)
    assert report.effects.settled
    assert set(report.effects.means) == {"baseline", "gain", "width", "gain+width"}
    assert (report.made, report.reused) == (4 * report.effects.seeds, 0)
    assert len(person.of(Looked)) == report.effects.seeds * 4 - 3  # from the first whole seed on
    assert any("together" in line for line in report.lines())
    [record] = trained.project.chain.records("split")
    assert record.body["experiment"] == report.split.question.experiment
    assert record.body["seeds"] == report.effects.seeds
    document = report.document()
    assert (document["schema"], document["runs"]["made"]) == ("palate.split/1", report.made)


def test_the_cells_of_a_split_and_the_arms_of_a_question_share_their_runs(trained):
    made = split(trained).made
    assert split(trained).made == 0
    assert split(trained).reused == made
    report = trained.run(trained.question(gain=0.9, width=16))
    assert report.judgement.made == 0
    assert "Two things changed at once" in report.headline


def test_a_seed_with_a_failure_in_a_cell_is_left_out_of_all(trained):
    trained.write(SCRIPT.replace('mode == "crash" and step == 2', "width > 8 and seed == 1"))
    report = split(trained)
    assert report.effects.lost == 1
    assert any("1 seeds were left out" in line for line in report.lines())


def test_one_change_has_nothing_to_split(trained):
    with pytest.raises(InputError):
        make_split(trained.question(gain=0.9))


def test_beside_an_interaction_a_main_effect_is_said_to_be_averaged_over_the_other_change(trained):
    """The gain does nothing alone, and a lot where the width is larger too."""
    trained.write(SCRIPT.replace("0.3 + 0.4 * gain + 0.02 * (width > 8)", "0.3 + 0.4 * (gain - 0.5) * (width > 8)"))
    report = split(trained, budget=8)
    lines = report.lines()
    [row] = [line for line in lines if line.startswith("gain  ")]
    assert "better, averaged over width" in row
    [told] = [line for line in lines if "They interact" in line]
    assert told.startswith("gain: ") and "gain with width: +16" in told
