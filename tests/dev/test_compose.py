"""The container set-up: well-formed, closed to the network, and the same as ``gress dev``."""

from __future__ import annotations

import json
import os
import re
import subprocess
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import redis
from ruamel.yaml import YAML

from gress_ml.dev.java import find_java
from gress_ml.dev.kafka_jars import kafka_jars
from gress_ml.dev.project_topics import PROJECT_TOPICS
from gress_ml.dev.settings import (
    KAFKA_CLUSTER_ID,
    KAFKA_SETTINGS,
    KAFKA_VERSION,
    POSTGRES_LINE,
    POSTGRES_SETTINGS,
    REDIS_LINE,
    REDIS_SETTINGS,
)

ROOT = Path(__file__).parents[2]
SCHEMA = json.loads((Path(__file__).parent / "compose-reduced.schema.json").read_text())
OURS = ("topics", "worker", "agent")


def _yaml(path: Path) -> Any:
    return YAML(typ="safe").load(path)


@pytest.fixture(scope="module")
def compose() -> dict[str, Any]:
    loaded: dict[str, Any] = _yaml(ROOT / "docker-compose.yml")
    return loaded


@pytest.fixture(scope="module")
def services(compose: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = compose["services"]
    return found


def test_it_fits_the_reduced_schema(compose: dict[str, Any]) -> None:
    jsonschema.Draft202012Validator.check_schema(SCHEMA)
    jsonschema.validate(compose, SCHEMA)


@pytest.mark.parametrize(
    "wrong",
    [{"image": "a:1", "port": ["1:1"]}, {"image": "a"}, {"image": "a:1", "ports": [80]}, {}],
)
def test_the_reduced_schema_refuses_typing_errors(wrong: dict[str, Any]) -> None:
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({"name": "n", "services": {"s": wrong}}, SCHEMA)


def test_ports_are_published_on_loopback_only(services: dict[str, Any]) -> None:
    published = [port for service in services.values() for port in service.get("ports", [])]
    assert published
    assert all(port.startswith("127.0.0.1:") for port in published)


def test_our_services_have_few_rights(services: dict[str, Any]) -> None:
    for name in OURS:
        assert services[name]["read_only"]
        assert services[name]["cap_drop"] == ["ALL"]
    assert all("no-new-privileges:true" in service["security_opt"] for service in services.values())


def test_our_image_runs_without_root_on_the_python_of_the_tests() -> None:
    dockerfile = (ROOT / "Dockerfile").read_text()
    (user,) = re.findall(r"^USER (\d+):\d+$", dockerfile, re.MULTILINE)
    assert int(user) > 0
    images = re.findall(r"^FROM (\S+)", dockerfile, re.MULTILINE)
    assert set(images) == {"python:3.11-slim"}


def test_the_image_is_made_of_what_the_builder_is_sent() -> None:
    sent = {
        line[1:]
        for line in (ROOT / ".dockerignore").read_text().splitlines()
        if line.startswith("!")
    }
    copied = re.findall(r"^COPY (?!--from)(.*) \S+$", (ROOT / "Dockerfile").read_text(), re.M)
    wanted = {name for line in copied for name in line.split()}
    assert wanted == sent
    assert all((ROOT / name).exists() for name in sent)


def test_services_that_are_waited_for_tell_how_they_are(services: dict[str, Any]) -> None:
    for service in services.values():
        for name, how in service.get("depends_on", {}).items():
            if how["condition"] == "service_healthy":
                assert "test" in services[name]["healthcheck"], name


def test_volumes_and_mounted_files_exist(compose: dict[str, Any]) -> None:
    for service in compose["services"].values():
        for volume in service.get("volumes", []):
            source = re.sub(r"\$\{\w+:-(.*?)\}", r"\1", volume).split(":")[0]
            assert (ROOT / source).exists() if "/" in source else source in compose["volumes"]


def test_no_secret_is_written_down(services: dict[str, Any]) -> None:
    password = services["postgres"]["environment"]["POSTGRES_PASSWORD"]
    assert password.startswith("${GRESS_POSTGRES_PASSWORD:?")
    assert password in services["worker"]["environment"]["GRESS_POSTGRES"]


def test_kafka_has_the_settings_of_gress_dev(services: dict[str, Any]) -> None:
    kafka = services["kafka"]
    assert kafka["image"] == f"apache/kafka:{KAFKA_VERSION}"
    environment = kafka["environment"]
    wanted = {_variable(name): value for name, value in KAFKA_SETTINGS.items()}
    assert {name: environment[name] for name in wanted} == wanted
    assert environment["CLUSTER_ID"] == KAFKA_CLUSTER_ID
    of_its_own = {"LISTENERS", "ADVERTISED_LISTENERS", "CONTROLLER_QUORUM_VOTERS", "LOG_DIRS"}
    other = {f"KAFKA_{name}" for name in of_its_own | {"HEAP_OPTS"}}
    assert set(environment) - set(wanted) - {"CLUSTER_ID"} == other


def test_the_program_of_the_kafka_image_makes_the_same_settings_of_it(
    services: dict[str, Any], tmp_path: Path
) -> None:
    """The image's own entry point is in the jars: it writes server.properties and formats."""
    environment = {
        **services["kafka"]["environment"],
        "KAFKA_LOG_DIRS": str(tmp_path / "data"),
        "PATH": os.environ["PATH"],
    }
    for folder in ("default", "mounted", "final"):
        (tmp_path / folder).mkdir()
    for name in ("server.properties", "log4j2.yaml", "tools-log4j2.yaml"):
        (tmp_path / "default" / name).touch()
    java = find_java()
    subprocess.run(
        [
            *(java, "-cp", f"{kafka_jars(java)}/*", "kafka.docker.KafkaDockerWrapper", "setup"),
            *("-D", tmp_path / "default", "-M", tmp_path / "mounted", "-F", tmp_path / "final"),
        ],
        env=environment,
        check=True,
        capture_output=True,
        timeout=180,
    )
    lines = (tmp_path / "final" / "server.properties").read_text().splitlines()
    made = dict(line.split("=", 1) for line in lines if "=" in line)
    assert {name: made[name] for name in KAFKA_SETTINGS} == dict(KAFKA_SETTINGS)
    assert KAFKA_CLUSTER_ID in (tmp_path / "data" / "meta.properties").read_text()


def test_redis_has_the_settings_of_gress_dev(services: dict[str, Any], redis_url: str) -> None:
    name, version = services["redis"]["image"].split(":")
    assert (name, version.split("-")[0]) == ("redis", REDIS_LINE)
    command = services["redis"]["command"][1:]
    made = {
        option.removeprefix("--"): value
        for option, value in zip(command[::2], command[1::2], strict=True)
    }
    assert made == dict(REDIS_SETTINGS)
    with redis.Redis.from_url(redis_url, decode_responses=True) as client:
        running = {name: client.config_get(name)[name] for name in REDIS_SETTINGS}
        assert client.info("server")["redis_version"].startswith(f"{REDIS_LINE}.")
    assert running == dict(REDIS_SETTINGS)


def test_postgres_has_the_settings_of_gress_dev(
    services: dict[str, Any], postgres_url: str
) -> None:
    import psycopg

    name, version = services["postgres"]["image"].split(":")
    assert (name, version.split("-")[0]) == ("postgres", POSTGRES_LINE)
    options = [part for part in services["postgres"]["command"][1:] if part != "-c"]
    assert dict(option.split("=") for option in options) == dict(POSTGRES_SETTINGS)
    with psycopg.connect(postgres_url) as connection:
        for setting, value in POSTGRES_SETTINGS.items():
            row = connection.execute("select current_setting(%s)", [setting]).fetchone()
            assert row == (value,)
        assert connection.info.server_version // 10_000 == int(POSTGRES_LINE)


def test_prometheus_asks_the_worker(services: dict[str, Any]) -> None:
    (job,) = _yaml(ROOT / "deploy" / "prometheus" / "prometheus.yml")["scrape_configs"]
    (discovery,) = job["dns_sd_configs"]
    assert set(discovery["names"]) <= set(services)
    assert str(discovery["port"]) == services["worker"]["ports"][0].rpartition(":")[2]


def test_the_topics_include_those_of_the_contract() -> None:
    channels = _yaml(ROOT / "docs" / "contracts" / "asyncapi.yaml")["channels"]
    assert {channel["address"] for channel in channels.values()} <= set(PROJECT_TOPICS)


def _variable(setting: str) -> str:
    return "KAFKA_" + setting.upper().replace(".", "_")
