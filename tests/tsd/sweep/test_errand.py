"""Stages: who waits for whom, what is taken up again, and who naps meanwhile."""

from __future__ import annotations

from random import Random
from types import SimpleNamespace

import pytest

from tsd.sweep.errand import NAP_S, NAP_SHARE, NAPPERS, TRIES, Queue
from tsd.sweep.needs import Need
from tsd.sweep.waves import Pack


def packs(*numbers):
    return [Pack(number, 0, 0, 1) for number in numbers]


TEACHER = Need("teacher", "key", {}, False)


@pytest.mark.parametrize("seed", range(20))
def test_a_stage_is_asked_for_when_all_jobs_of_the_one_before_have_ended_and_all_are_taken_once(seed):
    random, sizes, ended = Random(seed), [3, 0, 5, 1, 0], []

    def stage(number):
        assert len(ended) == sum(sizes[:number]), "asked for too early, or too late"
        return packs(*range(len(ended), len(ended) + sizes[number]))

    queue = Queue([lambda n=n: stage(n) for n in range(len(sizes))], slots=2)
    at_work = []
    while not queue.done:
        number = queue.take()
        if number is not None:
            at_work.append(number)
        if at_work and (number is None or random.random() < 0.5):
            ended.append(at_work.pop(random.randrange(len(at_work))))
            queue.ended(ended[-1])
        queue.dry and queue.take()
    assert sorted(ended) == list(range(9)) and queue.take() is None


def test_nothing_more_comes_once_the_last_stage_is_handed_out_but_it_is_not_done_before_it_has_ended():
    queue = Queue([lambda: packs(0)], slots=2)
    assert not queue.dry
    queue.take()
    assert queue.dry and not queue.done
    queue.ended(0)
    assert queue.done


def test_no_jobs_at_all_are_done_as_soon_as_somebody_asks():
    queue = Queue([list, list], slots=2)
    assert queue.take() is None and queue.done


def test_a_teacher_whose_worker_died_is_trained_again_before_its_students_and_not_for_ever():
    queue = Queue([lambda: [TEACHER], lambda: packs(0)], slots=2)
    for _ in range(TRIES):
        assert queue.take() == 0 and queue.again(0)
    assert queue.take() == 0 and not queue.again(0)
    queue.ended(0)
    assert queue.take() == 1 and queue.jobs[1] == Pack(0, 0, 0, 1)


def test_a_pack_is_not_taken_up_again_here_for_it_is_worked_apart():
    queue = Queue([lambda: packs(0), lambda: packs(1)], slots=2)
    assert not queue.again(queue.take())


def test_what_dead_workers_had_taken_waits_again_in_its_old_order():
    queue = Queue([lambda: packs(0, 1, 2, 3)], slots=3)
    assert [queue.take() for _ in range(3)] == [0, 1, 2]
    queue.ended(1)
    queue.gone()
    assert [queue.take() for _ in range(4)] == [0, 2, 3, None]


def test_workers_without_a_job_nap_but_no_more_of_them_than_are_idle():
    clock = SimpleNamespace(now=0.0)
    queue = Queue([lambda: packs(0), lambda: packs(1)], slots=3, clock=lambda: clock.now)
    queue.take()
    assert queue.take() is None and [queue.nap(), queue.nap(), queue.nap()] == [NAP_S, NAP_S, None]
    queue.woke()
    clock.now = 1000.0
    assert queue.nap() == NAP_SHARE * 1000, "naps grow with the stage, so that there are few of them"
    many = Queue([lambda: packs(0), lambda: packs(1)], slots=1000)
    many.take()
    assert [many.nap() for _ in range(20)].count(NAP_S) == NAPPERS


def test_a_stage_that_cannot_be_cut_is_told_where_jobs_are_asked_for():
    def stage():
        raise ValueError("the disk is full")

    with pytest.raises(ValueError, match="disk is full"):
        Queue([stage], slots=1).take()
