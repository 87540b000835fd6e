"""The image and the containers: few rights, nothing secret inside. More in tests/dev."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

ROOT = Path(__file__).parents[2]
DOCKERFILE = (ROOT / "Dockerfile").read_text().replace("\\\n", "")
SECRET = re.compile(r"password|secret|token|credential|private.?key", re.IGNORECASE)
#: What takes the walls of a container away.
BREACHES = ("privileged", "network_mode", "pid", "ipc", "userns_mode", "cap_add", "devices")


@pytest.fixture(scope="module")
def services() -> dict[str, Any]:
    found: dict[str, Any] = YAML(typ="safe").load(ROOT / "docker-compose.yml")["services"]
    return found


def test_the_image_holds_no_secret() -> None:
    assert not SECRET.search(DOCKERFILE)
    assert not re.search(r"^ARG ", DOCKERFILE, re.MULTILINE)  # its values stay in the history
    sent = [line for line in (ROOT / ".dockerignore").read_text().splitlines() if line]
    assert "*" in sent  # all is left out but what is named
    named = [line for line in sent if line.startswith("!")]
    assert not [line for line in named if re.search(r"\.env|\.git|\.gress|key|pem", line)]


def test_nothing_is_fetched_into_the_image_but_pinned_packages() -> None:
    assert not re.search(r"^ADD |curl|wget|https?://|git clone", DOCKERFILE, re.MULTILINE)
    for install in re.findall(r"pip install(.*)", DOCKERFILE):
        assert "--constraint constraints.txt" in install


def test_the_last_user_of_the_image_is_not_root_and_owns_only_its_state() -> None:
    stages = DOCKERFILE.split("\nFROM ")
    instructions = [line.split(" ", 1)[0] for line in stages[-1].splitlines() if line[:1].isupper()]
    assert instructions.index("USER") > max(
        at for at, name in enumerate(instructions) if name in {"RUN", "COPY"}
    )
    assert re.findall(r"-o gress -g gress (\S+)", DOCKERFILE) == ["/srv/gress/.gress"]
    assert not re.search(r"chmod|--chown|sudo|setcap", DOCKERFILE)


def test_no_container_breaks_out(services: dict[str, Any]) -> None:
    for name, service in services.items():
        assert not [key for key in BREACHES if key in service], name
        assert not [v for v in service.get("volumes", []) if "docker.sock" in v], name
        assert "no-new-privileges:true" in service["security_opt"], name


def test_our_containers_write_to_their_state_and_tmp_only(services: dict[str, Any]) -> None:
    for name in ("topics", "worker", "agent"):
        service = services[name]
        assert service["read_only"]
        assert service["tmpfs"] == ["/tmp"]
        writable = [v for v in service.get("volumes", []) if not v.endswith(":ro")]
        assert set(writable) <= {"state:/srv/gress/.gress"}


def test_secrets_come_into_containers_from_outside(services: dict[str, Any]) -> None:
    for service in services.values():
        for name, value in service.get("environment", {}).items():
            if SECRET.search(name) or re.search("://.*@", str(value)):
                text = str(value)
                assert "${" in text or text == "true", name
                assert not re.search(r":-", text), name  # no default for a secret
