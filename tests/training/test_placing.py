"""How many runs go where, on figures; and the places that runs take."""

import pytest

from palate.training.devices import Device
from palate.training.placing import Layout, Places, Wish, by_memory, lay_out, thread_variables
from palate.training.usage import Usage

GIB = 1 << 30


def gpus(count, total=80 * GIB, used=0):
    return tuple(Device(id=str(number), total=total, used=used, by_bus=True) for number in range(count))


def places(count=2, cores=16, **wish):
    return Places(Wish(**wish), cores=cores, find=lambda: gpus(count))


@pytest.mark.parametrize(
    ("count", "cores", "wish", "processes", "layout"),
    [
        (0, 8, {}, 1, Layout(workers=8, threads=1)),
        (1, 32, {}, 1, Layout(workers=1, threads=32, per_gpu=1, each=1)),
        (4, 32, {}, 1, Layout(workers=4, threads=8, per_gpu=1, each=1)),
        (8, 2, {}, 1, Layout(workers=8, threads=1, per_gpu=1, each=1)),
        (2, 8, {"per_gpu": 3}, 1, Layout(workers=6, threads=1, per_gpu=3, each=1)),
        (2, 8, {"per_gpu": 0}, 1, Layout(workers=8, threads=1)),
        (2, 8, {"workers": 1}, 1, Layout(workers=1, threads=8, per_gpu=1, each=2)),
        (2, 8, {"workers": 4}, 1, Layout(workers=4, threads=2, per_gpu=2, each=1)),
        (2, 8, {"workers": 3}, 1, Layout(workers=3, threads=2, per_gpu=2, each=1)),
        (2, 8, {"workers": 1, "per_gpu": 2}, 1, Layout(workers=1, threads=8, per_gpu=2, each=1)),
        (2, 8, {"threads": 3}, 1, Layout(workers=2, threads=3, per_gpu=1, each=1)),
        (2, 8, {}, 2, Layout(workers=1, threads=8, per_gpu=1, each=2)),
        (4, 8, {}, 2, Layout(workers=2, threads=4, per_gpu=1, each=2)),
        (1, 8, {}, 4, Layout(workers=1, threads=8, per_gpu=1, each=1)),
    ],
)
def test_runs_are_placed_by_devices_one_a_gpu_and_by_cores_only_without(count, cores, wish, processes, layout):
    assert lay_out(count, cores, Wish(**wish), processes) == layout


@pytest.mark.parametrize(
    ("peak", "cores", "per_gpu"),
    [(20 * GIB, 16, 3), (GIB, 16, 8), (GIB, 1, 1), (71 * GIB, 16, 1), (79 * GIB, 16, 1), (36 * GIB, 16, 2)],
)
def test_as_many_runs_go_on_a_gpu_as_nine_tenths_of_it_hold_and_there_are_cores(peak, cores, per_gpu):
    layout = by_memory(lay_out(2, cores, Wish()), 2, cores, Wish(), free=80 * GIB, peak=peak)
    assert (layout.per_gpu, layout.workers) == (per_gpu, 2 * per_gpu)


def test_each_run_sees_its_own_gpu_and_gives_it_back():
    here = places()
    assert here.workers == 2
    assert here.take("a")["CUDA_VISIBLE_DEVICES"] == "0"
    assert here.take("b")["CUDA_VISIBLE_DEVICES"] == "1"
    assert not here.has_room()
    here.release("a")
    assert here.has_room()
    assert here.take("c")["CUDA_VISIBLE_DEVICES"] == "0"


def test_two_runs_a_gpu_go_to_the_emptier_one():
    here = places(per_gpu=2)
    assert [here.take(name)["CUDA_VISIBLE_DEVICES"] for name in "abcd"] == ["0", "1", "0", "1"]
    assert not here.has_room()


def test_a_run_of_two_processes_has_two_gpus():
    here = places(4)
    assert here.take("a", processes=2)["CUDA_VISIBLE_DEVICES"] == "0,1"
    assert here.take("b", processes=2)["CUDA_VISIBLE_DEVICES"] == "2,3"
    assert not here.has_room(2)


def test_one_run_at_a_time_sees_all_gpus_as_by_hand():
    assert places(4, workers=1).take("a")["CUDA_VISIBLE_DEVICES"] == "0,1,2,3"


def test_runs_that_are_computed_together_share_one_place():
    here = places(2)
    seen = {here.take(name, group="g")["CUDA_VISIBLE_DEVICES"] for name in "abc"}
    assert seen == {"0"}
    assert here.take("d")["CUDA_VISIBLE_DEVICES"] == "1"


def test_hidden_gpus_are_seen_by_no_run_and_not_looked_for():
    def never():
        raise AssertionError

    here = Places(Wish(per_gpu=0), cores=4, find=never)
    assert here.workers == 4
    assert here.take("a") == {"CUDA_VISIBLE_DEVICES": "-1", "HIP_VISIBLE_DEVICES": "-1"}


def test_gpus_are_looked_for_only_when_a_run_is_to_be_placed():
    looked = []
    here = Places(Wish(), cores=4, find=lambda: looked.append(1) or gpus(1))
    assert not looked
    assert (here.workers, here.workers, looked) == (1, 1, [1])


def test_where_the_first_run_used_no_gpu_the_rest_is_placed_by_cores():
    here = places(2, cores=16)
    here.take("a")
    assert here.learn(Usage(gpu_peak=0)) == (
        "The first run used no GPU: from now on runs are placed by cores, 16 at a time."
    )
    assert (here.workers, here.devices) == (16, ())
    assert here.take("b") == {}


def test_where_the_first_run_leaves_room_more_go_on_a_gpu_and_it_is_said():
    here = places(2, cores=16)
    here.workers  # noqa: B018  looked at before the first run
    assert here.learn(Usage(gpu_peak=20 * GIB)) == (
        "The first run took 20 GiB of its GPU: 3 a GPU from now on, 6 at a time (--per-gpu N says otherwise)."
    )
    assert here.learn(Usage(gpu_peak=18 * GIB)) == ""
    assert "2 a GPU" in here.learn(Usage(gpu_peak=30 * GIB))
    assert here.learn(Usage(gpu_peak=1 * GIB)) == ""  # it never goes up again


def test_memory_that_other_programs_hold_is_not_counted_on():
    here = Places(Wish(), cores=16, find=lambda: gpus(1, used=50 * GIB))
    here.workers  # noqa: B018
    assert here.learn(Usage(gpu_peak=20 * GIB)) == ""
    assert here.layout.per_gpu == 1


@pytest.mark.parametrize("wish", [{"workers": 2}, {"per_gpu": 1}])
def test_what_the_person_said_stays(wish):
    here = places(2, **wish)
    assert here.learn(Usage(gpu_peak=GIB)) == ""
    assert here.layout.per_gpu == 1


def test_what_nobody_can_tell_changes_nothing():
    here = places(2)
    assert here.learn(Usage(gpu_peak=None)) == ""
    assert here.layout.per_gpu == 1


def test_who_ran_out_of_memory_beside_others_is_placed_with_fewer():
    here = places(1, per_gpu=4)
    for name in "abcd":
        here.take(name)
    here.release("a")
    assert here.beside("a", on_gpu=True) == 3
    assert [here.fewer(on_gpu=True) for _ in range(3)] == [2, 1, 1]
    assert here.learn(Usage(gpu_peak=GIB)) == ""
    alone = places(2)
    alone.take("a"), alone.take("b")
    assert (alone.beside("a", on_gpu=True), alone.beside("b", on_gpu=False)) == (0, 1)
    assert alone.fewer(on_gpu=False) == 1


def test_a_gpu_that_went_gets_no_run_any_more():
    here = places(2)
    here.take("a")
    assert here.withdraw(here.release("a"))
    assert here.workers == 1
    assert here.take("b")["CUDA_VISIBLE_DEVICES"] == "1"
    assert not here.withdraw(here.release("b"))


def test_the_persons_threads_stand_as_they_are_unless_overruled():
    mine = {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "3"}
    assert thread_variables(mine, 2) == {**mine, "OPENBLAS_NUM_THREADS": "2"}
    assert set(thread_variables(mine, 2, overruled=True).values()) == {"2"}
