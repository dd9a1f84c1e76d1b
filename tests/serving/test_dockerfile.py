"""Dockerfile.serving and docs/serving.md, read; no container engine is needed."""

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from google.protobuf import text_format
from served.server import ServedModel
from tensorflow_serving.config import model_server_config_pb2

ROOT = Path(__file__).resolve().parents[2]
DOCKERFILE = ROOT / "Dockerfile.serving"
GUIDE = ROOT / "docs" / "serving.md"
REST_PORT = "8501"
# Flags of tensorflow_model_server 2.20 that we use or speak of.
KNOWN_FLAGS = {
    "allow_version_labels_for_unavailable_models",
    "batching_parameters_file",
    "enable_batching",
    "enable_grpc_healthcheck_service",
    "enable_profiler",
    "enable_serialization_as_tensor_content",
    "file_system_poll_wait_seconds",
    "grpc_max_threads",
    "max_num_load_retries",
    "model_base_path",
    "model_config_file",
    "model_config_file_poll_wait_seconds",
    "model_name",
    "monitoring_config_file",
    "num_load_threads",
    "per_process_gpu_memory_fraction",
    "port",
    "rest_api_enable_cors_support",
    "rest_api_port",
    "rest_api_timeout_in_ms",
    "ssl_config_file",
}


def instructions() -> list[tuple[str, str]]:
    """(INSTRUCTION, the rest), comments and line breaks removed."""
    lines = [line for line in DOCKERFILE.read_text().splitlines() if not line.startswith("#")]
    whole = re.sub(r"\\\n\s*", "", "\n".join(lines))
    return [tuple(line.split(None, 1)) for line in whole.splitlines() if line.strip()]


def values(instruction: str) -> list[str]:
    return [rest for name, rest in instructions() if name == instruction]


def health_command() -> list[str]:
    [text] = values("HEALTHCHECK")
    return json.loads(text.split("CMD ", 1)[1])


def test_the_version_stands_in_one_place() -> None:
    assert len(re.findall(r"\d+\.\d+\.\d+(?!\.)\b", "\n".join(values("ARG")))) == 1
    assert "2.20.0" not in "\n".join(rest for name, rest in instructions() if name != "ARG")
    assert values("FROM") == [
        "tensorflow/serving:${VERSION} AS cpu",
        "tensorflow/serving:${VERSION}-gpu AS gpu",
        "${DEVICE}",
    ]


def test_gpu_unless_the_build_says_cpu() -> None:
    assert "DEVICE=gpu" in values("ARG")


def test_not_root() -> None:
    [user] = values("USER")
    assert re.fullmatch(r"[1-9]\d*:[1-9]\d*", user)


def test_flags_are_known_and_fit() -> None:
    [entrypoint], [command] = values("ENTRYPOINT"), values("CMD")
    program, *flags = json.loads(entrypoint)
    assert program == "/usr/bin/tensorflow_model_server"
    given = dict(flag.removeprefix("--").split("=") for flag in [*flags, *json.loads(command)])
    assert set(given) <= KNOWN_FLAGS
    assert given["max_num_load_retries"] == "0"
    assert given["num_load_threads"] == "2"
    # with REST it would answer zeros
    assert "rest_api_port" in given
    assert "enable_serialization_as_tensor_content" not in given
    assert given["enable_grpc_healthcheck_service"] == "true"
    assert given["enable_profiler"] == "false"
    assert given["model_name"] == "default"
    assert set(values("EXPOSE")[0].split()) == {given["port"], given["rest_api_port"]}


def test_the_guide_speaks_of_known_flags() -> None:
    text = GUIDE.read_text()
    flags = set(re.findall(r"--([a-z]+(?:_[a-z]+)+)", text))
    assert flags
    assert flags <= KNOWN_FLAGS


@pytest.mark.skipif(shutil.which("bash") is None, reason="no bash here")
@pytest.mark.parametrize(("model", "healthy"), [("", True), ("nope", False)])
def test_the_health_check(
    rest_address: str, subject: ServedModel, model: str, healthy: bool
) -> None:
    shell, option, script = health_command()
    host, port = rest_address.split(":")
    assert script.count(REST_PORT) == 1
    script = script.replace(REST_PORT, port).replace("127.0.0.1", host)
    done = subprocess.run(
        [shell, option, script], env={"HEALTH_MODEL": model or subject.name}, timeout=30
    )
    assert (done.returncode == 0) == healthy


@pytest.mark.skipif(shutil.which("bash") is None, reason="no bash here")
def test_the_health_check_without_a_server() -> None:
    shell, option, script = health_command()
    done = subprocess.run(
        [shell, option, script.replace(REST_PORT, "1")], capture_output=True, timeout=30
    )
    assert done.returncode != 0


def test_model_configs_of_the_guide_are_valid() -> None:
    blocks = re.findall(r"^```textproto\n(.*?)^```", GUIDE.read_text(), re.M | re.S)
    configs = [block for block in blocks if block.startswith("model_config_list")]
    assert len(configs) == 2
    for block in configs:
        parsed = text_format.Parse(block, model_server_config_pb2.ModelServerConfig())
        for config in parsed.model_config_list.config:
            assert config.base_path == f"/models/{config.name}"
