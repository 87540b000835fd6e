from __future__ import annotations

from itertools import groupby

import numpy as np
import pytest

from gress_ml.dwcp.episodes import Episodes, Trouble
from gress_ml.dwcp.links import Link, LinkProfile, link_profile


def episodes(share: float, mean_s: float, seed: int = 1) -> Episodes:
    return Episodes(np.random.default_rng(seed), Trouble(share, mean_s, 1.0))


@pytest.mark.parametrize("step_s", [1.0, 1000.0])
def test_trouble_takes_its_share_of_the_time_however_often_it_is_asked(step_s: float) -> None:
    trouble = episodes(0.1, 20.0)
    on = [trouble.at(step_s * number) for number in range(50_000)]
    assert np.mean(on) == pytest.approx(0.1, abs=0.02)


def test_an_episode_lasts_its_time() -> None:
    trouble = episodes(0.1, 20.0)
    on = [trouble.at(float(second)) for second in range(200_000)]
    lengths = [len(list(run)) for is_on, run in groupby(on) if is_on]
    assert np.mean(lengths) == pytest.approx(20.0, rel=0.1)


def test_no_share_is_no_trouble_and_time_that_stands_still_changes_nothing() -> None:
    never = episodes(0.0, 20.0)
    assert not any(never.at(float(second)) for second in range(1_000))
    often = episodes(0.5, 20.0)
    first = often.at(100.0)
    assert {often.at(100.0) for _ in range(100)} == {first}
    assert often.at(50.0) == first


@pytest.mark.parametrize(("share", "mean_s"), [(1.0, 5.0), (-0.1, 5.0), (0.1, 0.0)])
def test_trouble_that_cannot_be_is_refused(share: float, mean_s: float) -> None:
    with pytest.raises(ValueError, match="expected a share within"):
        Trouble(share, mean_s, 1.0)


def states(profile: LinkProfile) -> tuple[np.ndarray, np.ndarray]:
    link = Link(profile, 3)
    seen = [link.step(10.0 * number) for number in range(5_000)]
    return (
        np.array([state.loss for state in seen]),
        np.array([state.bandwidth_utilization for state in seen]),
    )


@pytest.mark.parametrize("name", ["dc", "metro", "wan", "edge"])
def test_loss_and_cross_traffic_come_in_bursts(name: str) -> None:
    profile = link_profile(name)
    loss, busy = states(profile)
    # Rare and bad: the worst percent of the time is far from a usual moment.
    assert np.quantile(loss, 1 - profile.lossy.share / 2) > 2 * np.median(loss)
    assert np.quantile(busy, 0.99) - np.median(busy) > profile.daily_swing


def test_load_follows_the_day() -> None:
    profile = link_profile("wan")
    link = Link(profile, 3)
    hours = np.array(
        [
            [link.step(86_400.0 * day + 3_600.0 * hour).bandwidth_utilization for hour in range(24)]
            for day in range(100)
        ]
    ).mean(axis=0)
    assert hours.max() - hours.min() == pytest.approx(2 * profile.daily_swing, rel=0.3)
    assert abs(int(hours.argmax()) - int(hours.argmin())) in range(9, 16)
