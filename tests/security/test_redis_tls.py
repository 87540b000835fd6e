"""Redis over TLS with a password: what cannot be trusted is as good as away, and never crashes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from secure_redis import REDIS_PASSWORD, TlsRedis

from gress_ml.adapters.clock import SystemClock
from gress_ml.adapters.redis import RedisFeatures, RedisSettings, redacted
from gress_ml.cli.dev import redacted as redacted_address
from gress_ml.errors import ConfigError, StoreUnavailable

FIELDS = ("a", "b")
ROW = np.array([[1.0, 2.0]], np.float32)
PATIENT = RedisSettings(timeout_s=30.0, tls_timeout_s=60.0)
WRONG_PASSWORD = "redis-Wrong-0913"


async def test_rows_go_over_tls(tls_redis: TlsRedis) -> None:
    store = RedisFeatures(tls_redis.url(), SystemClock(), PATIENT)
    await store.put("vm", FIELDS, [b"k"], ROW)
    assert (await store.fetch("vm", FIELDS, [b"k"])).tolist() == ROW.tolist()
    await store.close()


@pytest.mark.parametrize("what", ["authority", "host", "password", "plain", "no such file"])
async def test_a_server_that_is_not_the_right_one_is_away(tls_redis: TlsRedis, what: str) -> None:
    url, why = {
        "authority": (
            tls_redis.url(ca=tls_redis.certificates.other_ca),
            "unable to get local issuer certificate",
        ),
        "host": (tls_redis.url(host="127.0.0.1"), "not valid for '127.0.0.1'"),
        "password": (tls_redis.url(password=WRONG_PASSWORD), "invalid username-password"),
        "plain": (tls_redis.url().replace("rediss:", "redis:").partition("?")[0], "Error"),
        "no such file": (tls_redis.url(ca=Path("none.pem")), "No such file"),
    }[what]
    store = RedisFeatures(url, SystemClock(), PATIENT)
    with pytest.raises(StoreUnavailable, match=why) as caught:
        await store.fetch("vm", FIELDS, [b"k"])
    await store.close()
    shown = [str(caught.value), repr(caught.value), repr(store), repr(caught.value.__cause__)]
    assert not any(secret in text for secret in (REDIS_PASSWORD, WRONG_PASSWORD) for text in shown)


_URL_TEXT = st.text(st.sampled_from("ab12/?#@:[]%&= ;!$'"), min_size=1, max_size=12)


@given(_URL_TEXT.map(lambda text: f"<{text}>"))
def test_no_password_however_written_is_shown(password: str) -> None:
    """Also one that should have been percent-encoded, and was not."""
    url = f"redis://:{password}@cache:6379/0"
    for shown in (redacted(url), redacted_address(url), redacted(f"redis://u{url[8:]}")):
        assert "<" not in shown
        assert ">" not in shown


@pytest.mark.parametrize(
    "url",
    [
        "redis://:12#34secret@cache:6379/0",
        "redis://:12/34secret@cache:6379/0",
        "redis://user:12?34secret@cache:6379/0",
        "redis://cache:6379/0?password=secret",
        "postgresql://me@db/x?user=a&password=secret&sslmode=require",
        "postgresql://me:s3@secret@db/x",
    ],
)
def test_no_part_of_a_password_is_shown(url: str) -> None:
    for shown in (redacted(url), redacted_address(url)):
        assert "secret" not in shown
    assert "12" not in redacted(url)


def test_a_url_that_cannot_be_read_is_refused_without_it() -> None:
    with pytest.raises(ConfigError) as caught:
        RedisFeatures(f"http://:{REDIS_PASSWORD}@cache/0", SystemClock())
    assert REDIS_PASSWORD not in str(caught.value) + repr(caught.value)
