"""Trial: a TFLite file is loaded in a process of its own first.

LiteRT believes much of what a file says: one changed byte can end the whole process with a
segmentation fault. What happens to the child here is an answer instead. It costs about 0.2 s per
file, once per process. This file is run as a script, too: it imports nothing of gress-ml.
"""

from __future__ import annotations

import hashlib
import subprocess
import sys
from functools import lru_cache
from importlib import import_module
from pathlib import Path

LIMIT_S = 60.0


def trial(path: Path, runtime: str, *, xnnpack: bool) -> str | None:
    """How the process ended that loaded the file; None when it lived, whatever it found.

    ``runtime`` is the interpreter's module. A fault that does no such harm is found, and told
    better, by who loads the file next.
    """
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    return _tried(digest, str(path), runtime, "xnnpack" if xnnpack else "plain")


@lru_cache(maxsize=256)
def _tried(_digest: str, path: str, runtime: str, kernels: str) -> str | None:
    command = [sys.executable or "python3", "-P", __file__, path, runtime, kernels]
    try:
        done = subprocess.run(  # noqa: S603 - our own file
            command, stdin=subprocess.DEVNULL, capture_output=True, timeout=LIMIT_S, check=False
        )
    except subprocess.TimeoutExpired:
        return f"it was not loaded within {LIMIT_S:g} s"
    except OSError:  # there is no process to be had: go on without a trial
        return None
    return None if done.returncode >= 0 else f"it ends the process (signal {-done.returncode})"


def _load(path: str, runtime: str, kernels: str) -> None:
    """What ``tflite`` does with a file: load it, ask for two rows, then for one."""
    module = import_module(runtime)
    kind = module.OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES
    options = {} if kernels == "xnnpack" else {"experimental_op_resolver_type": kind}
    interpreter = module.Interpreter(model_path=path, num_threads=1, **options)
    inputs = interpreter.get_input_details()
    for rows in (2, 1):
        for detail in inputs:
            interpreter.resize_tensor_input(detail["index"], [rows, *detail["shape"][1:]])
        interpreter.allocate_tensors()
        interpreter.invoke()
        for detail in interpreter.get_output_details():
            interpreter.get_tensor(detail["index"])


if __name__ == "__main__":
    _load(*sys.argv[1:])
