"""`palate skill`, where hardly anything is scored."""

from tests.cli.workplace import RUN


def test_one_scored_forecast_says_that_nobody_can_tell_yet(workplace):
    workplace.json(*RUN, "-c", "gain=0.1", "--forecast", "worse:80")
    [standing] = workplace.json("skill")["forecasters"]
    assert (standing["skill"]["n"], standing["skill"]["state"]) == (1, "can't tell yet")
    assert standing["coverage"] == 1.0
    assert "19 more until calibration can be shown." in workplace.call("skill").stdout
    assert workplace.json("skill", "--author", "nobody")["forecasters"] == []


def test_without_forecasts_it_says_what_to_do(workplace):
    assert "No forecast has been scored yet." in workplace.call("skill").stdout
