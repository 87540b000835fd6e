"""Nothing in our source can be made to run what was only meant to be read."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FOLDERS = ("gress_ml", "operators", "benchmarks", "deploy")
FILES = sorted(path for folder in FOLDERS for path in (ROOT / folder).rglob("*.py"))

#: Modules whose loaders run code, or that unpack files whose paths lead out of their folder.
MODULES = frozenset(
    {
        *("pickle", "cPickle", "_pickle", "dill", "cloudpickle", "joblib", "marshal", "shelve"),
        *("code", "codeop", "yaml", "xml", "zipfile", "tarfile"),
    }
)
#: Built-in functions that run a text.
BUILT_IN = frozenset({"eval", "exec", "compile", "__import__", "input", "breakpoint"})
#: Functions and methods that start a shell, or load what may hold a pickle.
CALLED = frozenset(
    {
        *("os.system", "os.popen", "subprocess.getoutput", "subprocess.getstatusoutput"),
        *("asyncio.create_subprocess_shell", "shutil.unpack_archive", "tempfile.mktemp"),
        *("np.load", "numpy.load", "np.fromregex", "torch.load", "tf.keras.models.load_model"),
        *("keras.models.load_model", "ssl._create_unverified_context"),
    }
)
#: Keyword arguments with values that take a protection away.
KEYWORDS = {"shell": True, "allow_pickle": True, "verify": False, "check_hostname": False}

#: What makes such bytes and never reads them: payloads to measure with.
WRITERS = {
    ("gress_ml/dwcp/corpus/archive.py", "import zipfile"),
    ("gress_ml/dwcp/corpus/files.py", "import marshal"),
    ("gress_ml/dwcp/corpus/files.py", "compile()"),  # to bytecode, which is not run
    ("gress_ml/dwcp/corpus/tree.py", "import tarfile"),
}

#: ruamel's other loaders make no objects.
UNSAFE = {("YAML", "unsafe"), ("YAML", "full")}


def dotted(node: ast.AST) -> str:
    """``a.b.c`` of names and attributes; what comes before another expression is left out."""
    if isinstance(node, ast.Attribute):
        return f"{dotted(node.value)}.{node.attr}"
    return node.id if isinstance(node, ast.Name) else ""


def faults(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        yield from (f"{getattr(node, 'lineno', 0)}: {what}" for what in _of_import(node))
        if isinstance(node, ast.Call):
            yield from (f"{node.lineno}: {what}" for what in _of_call(node))


def _of_import(node: ast.AST) -> Iterator[str]:
    if isinstance(node, ast.Import):
        names = [alias.name for alias in node.names]
    elif isinstance(node, ast.ImportFrom):
        names = [node.module or ""]
    else:
        return
    yield from (f"import {name}" for name in names if name.split(".")[0] in MODULES)


def _of_call(node: ast.Call) -> Iterator[str]:
    name = dotted(node.func)
    if name in BUILT_IN or name in CALLED:
        yield f"{name}()"
    for word in node.keywords:
        if not isinstance(word.value, ast.Constant) or word.arg is None:
            continue
        value = word.value.value
        if (word.arg in KEYWORDS and value is KEYWORDS[word.arg]) or (name, value) in UNSAFE:
            yield f"{name}({word.arg}={value!r})"


def test_the_source_is_looked_at() -> None:
    assert {path.relative_to(ROOT).parts[0] for path in FILES} >= {"gress_ml", "operators"}
    assert len(FILES) > 150


def test_no_source_runs_what_it_reads() -> None:
    found = [
        (path.relative_to(ROOT).as_posix(), *fault.split(": ", 1))
        for path in FILES
        for fault in faults(ast.parse(path.read_bytes()))
    ]
    assert [where for where in found if (where[0], where[2]) not in WRITERS] == []
    assert {(file, what) for file, _, what in found} >= WRITERS  # else one has outlived its reason


@pytest.mark.parametrize(
    "text",
    [
        "import pickle",
        "from joblib import load",
        "def f():\n    import yaml",
        "eval('1')",
        "np.load(path)",
        "np.frombuffer(a, allow_pickle=True)",
        "subprocess.run('ls', shell=True)",
        "os.system('ls')",
        "YAML(typ='unsafe')",
        "context(check_hostname=False)",
    ],
)
def test_what_is_looked_for_is_found(text: str) -> None:
    assert len([*faults(ast.parse(text))]) == 1
