"""ONNX Runtime's sessions on a graph: one on the CPU, or one on each CUDA device asked for."""

from __future__ import annotations

import contextlib
import functools
import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import onnxruntime as ort
import structlog

from gress_ml.errors import ModelCorrupt
from gress_ml.inference.gpu import Gpu

CUDA, CPU = "CUDAExecutionProvider", "CPUExecutionProvider"
log = structlog.get_logger(__name__)
_ERRORS_ONLY = 3
#: Answers must not depend on the clock or the machine: by default convolutions are chosen by trial
#: and float32 products are rounded to TF32's ten bits. See "Configuration Options" of
#: https://onnxruntime.ai/docs/execution-providers/CUDA-ExecutionProvider.html.
_EXACT = {"use_tf32": "0", "cudnn_conv_algo_search": "HEURISTIC"}

ort.set_default_logger_severity(_ERRORS_ONLY)
ort.disable_telemetry_events()


def sessions_on(path: Path, gpu: Gpu | None) -> list[Any]:
    """A session per CUDA device of ``gpu``, or one on the CPU where they cannot or need not run.

    Logs where the graph runs if a GPU was asked for, with a warning where it should and does not.
    Raises ModelCorrupt.
    """
    if gpu is None:
        return [_on_cpu(path)]
    devices = list(gpu.device_ids)
    found, why = _on_cuda(path, devices)
    if not found:
        session = _on_cpu(path)  # before the warning: the file may be what is wrong
        log.warning("gpu_not_used", path=str(path), reason=why)
        return [session]
    on_cuda, nodes = _placed(found[0])
    if not on_cuda:  # tree ensembles, for example: CUDA would only copy their inputs
        log.info("graph_stays_on_cpu", path=str(path), nodes=nodes, reason="no CUDA kernels")
        return [_on_cpu(path)]
    log.info("graph_on_gpu", path=str(path), devices=devices, nodes=nodes, on_gpu=on_cuda)
    return found


def provider_of(session: Any) -> str:
    """What runs a session: ``CUDAExecutionProvider`` or ``CPUExecutionProvider``."""
    provider: str = session.get_providers()[0]
    return provider


@functools.cache
def _load_cuda() -> None:
    """Load CUDA's libraries from NVIDIA's wheels, where ONNX Runtime does not look by itself."""
    said = io.StringIO()
    with contextlib.redirect_stdout(said):  # it prints what it does not find
        ort.preload_dlls()
    for line in said.getvalue().splitlines():
        log.warning("cuda_libraries", said=line)


def _on_cpu(path: Path) -> Any:
    try:
        return ort.InferenceSession(str(path), _options(), providers=[CPU])
    except Exception as error:  # ONNX Runtime's own types are not public
        raise ModelCorrupt(
            f"{path}: expected an ONNX graph that ONNX Runtime {ort.__version__} can load, "
            f"found: {error}. Export the model again."
        ) from error


def _on_cuda(path: Path, devices: Sequence[int]) -> tuple[list[Any], str]:
    """A session on each device; or none, and why."""
    if CUDA not in ort.get_available_providers():
        return [], "this ONNX Runtime has no CUDA, see docs/gpu.md"
    _load_cuda()
    options = _options()
    options.use_deterministic_compute = True
    options.add_session_config_entry("session.record_ep_graph_assignment_info", "1")
    found = []
    for device in devices:
        providers = [(CUDA, {"device_id": str(device), **_EXACT}), CPU]
        try:  # without its own fallback, which prints and says nothing to the log
            found.append(
                ort.InferenceSession(str(path), options, providers=providers, enable_fallback=0)
            )
        except Exception as error:  # ONNX Runtime's own types are not public
            return [], f"CUDA device {device}: {str(error).strip()}"
        if provider_of(found[-1]) != CUDA:
            return [], "CUDA did not start: its driver or libraries are not there, see docs/gpu.md"
    return found, ""


def _options() -> Any:
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.execution_mode = ort.ExecutionMode.ORT_SEQUENTIAL
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_ALL
    options.log_severity_level = _ERRORS_ONLY
    # A spinning pool makes unrelated NumPy code in the process many times slower.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.add_session_config_entry("session.inter_op.allow_spinning", "0")
    return options


def _placed(session: Any) -> tuple[int, int]:
    """How many nodes CUDA runs, and how many there are."""
    parts = session.get_provider_graph_assignment_info()
    nodes = [part.ep_name for part in parts for _ in part.get_nodes()]
    return nodes.count(CUDA), len(nodes)
