"""A target's speed: peaks count at once, fade with time; quantiles when there is enough."""

import random

from service.routing.latency import Latency


def test_nothing_is_known_before_something_was_seen():
    latency = Latency()
    assert latency.average(1.0) is None
    assert latency.quantile(0.5) is None


def test_a_slow_answer_counts_at_once_and_is_forgotten_slowly():
    latency = Latency()
    latency.observe(0.1, 0.0)
    latency.observe(5.0, 1.0)
    assert latency.average(1.0) == 5.0
    latency.observe(0.1, 2.0)
    assert 4.0 < latency.average(2.0) < 5.0
    assert latency.average(60.0) < 0.05


def test_waiting_in_vain_counts_as_at_least_so_slow_and_never_makes_faster():
    latency = Latency()
    latency.observe(2.0, 0.0)
    latency.endure(0.5, 0.0)
    assert latency.average(0.0) == 2.0
    latency.endure(9.0, 0.0)
    assert latency.average(0.0) == 9.0
    assert latency.quantile(0.5) is None, "what never came is no answer"


def test_what_was_not_waited_for_counts_among_the_slow_and_only_there():
    latency = Latency()
    for _ in range(128):
        latency.observe(1.0, 0.0)
    for _ in range(20):
        latency.endure(0.5, 0.0)
    assert latency.quantile(0.05) == 1.0
    for _ in range(20):
        latency.endure(3.0, 0.0)
    assert latency.quantile(0.95) == 3.0


def test_quantiles_are_of_the_recent_answers():
    latency = Latency()
    for i in range(7):
        latency.observe(float(i), 0.0)
    assert latency.quantile(0.5) is None
    for i in range(7, 101):
        latency.observe(float(i), 0.0)
    assert 45 <= latency.quantile(0.5) <= 51
    assert 90 <= latency.quantile(0.95) <= 97
    for _ in range(128):
        latency.observe(1.0, 0.0)
    assert latency.quantile(0.95) == 1.0


def test_what_is_usual_is_known_until_nobody_has_tried_for_a_minute():
    latency = Latency()
    for _ in range(8):
        latency.try_again(0.0)
        latency.observe(4.0, 4.0)
    assert latency.usual(60.0) == 4.0
    assert latency.usual(60.1) is None
    latency.try_again(60.1)
    assert latency.usual(60.2) == 4.0, "one attempt finds out, the others wait for what it says"


def test_what_is_usual_is_the_median_whatever_else_is_asked_in_between():
    latency, other, chance = Latency(), Latency(), random.Random(1)
    for now in range(400):
        for it in (latency, other):
            it.try_again(now)
        seconds = chance.choice([0.1, 0.2, 5.0])
        for it in (latency, other):
            it.observe(seconds, now)
        assert latency.usual(now) == other.quantile(0.5)
        if now % 3 == 0:
            assert latency.quantile(0.95) == other.quantile(0.95)
