"""Namespaces: a network of one's own for a process, with a TUN device as its only way out.

Nothing has to be removed afterwards: a namespace and its device end with the last process and the
last file descriptor that hold them, however that process ends.
"""

from __future__ import annotations

import ctypes
import fcntl
import os
import shutil
import signal
import struct
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
MTU = 1500
_CLONE_NEWUSER, _CLONE_NEWNET = 0x10000000, 0x40000000
_PR_SET_PDEATHSIG = 1
_TUNSETIFF, _IFF_TUN, _IFF_NO_PI = 0x400454CA, 0x0001, 0x1000
_DEVICE = "tun0"
_SETTINGS = {
    # Each connection starts afresh, knowing nothing of the one before.
    "net/ipv4/tcp_no_metrics_save": "1",
    "net/ipv6/conf/all/disable_ipv6": "1",
}
_libc = ctypes.CDLL(None, use_errno=True)


class NoNamespacesError(RuntimeError):
    """This machine cannot make network namespaces with TUN devices; the message says why."""


def require_namespaces() -> None:
    """Return where namespaces with TUN devices can be made. Raises NoNamespacesError elsewhere.

    Tried in a process of its own, which leaves nothing behind.
    """
    code = "from benchmarks.links.namespaces import enter; enter('10.0.0.1', '10.0.0.2')"
    tried = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=60
    )
    if tried.returncode:
        last = (tried.stderr.strip().splitlines() or ["no reason given"])[-1]
        raise NoNamespacesError(last.removeprefix(f"{__name__}.NoNamespacesError: "))


def enter(own_address: str, other_address: str) -> int:
    """Move this process into a new network namespace; the descriptor of its TUN device.

    All that is sent to ``other_address`` can be read from the descriptor as IP packets of at most
    ``MTU`` bytes, and what is written to it arrives. Raises NoNamespacesError.
    """
    if sys.platform != "linux":
        raise NoNamespacesError("network namespaces are a facility of Linux")
    ip = shutil.which("ip", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin")
    if ip is None:
        raise NoNamespacesError("the command `ip` is missing: install iproute2")
    before = _namespace()
    _unshare()
    if _namespace() == before:  # what follows must never touch the machine's own network
        raise NoNamespacesError("the process is still in the network namespace that it came from")
    device = _open_device()
    for name, value in _SETTINGS.items():
        _set(name, value)
    for words in (
        ["addr", "add", own_address, "peer", other_address, "dev", _DEVICE],
        # Long: the emulator's own queue is the one that overflows.
        ["link", "set", _DEVICE, "mtu", str(MTU), "txqueuelen", "20000", "up"],
    ):
        done = subprocess.run([ip, *words], capture_output=True, text=True)
        if done.returncode:
            raise NoNamespacesError(f"ip {' '.join(words)}: {done.stderr.strip()}")
    return device


def end_with_parent() -> None:
    """From now on this process is killed when the one that started it ends."""
    _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)


def _namespace() -> str:
    return os.readlink("/proc/self/ns/net")


def _unshare() -> None:
    kinds = _CLONE_NEWNET if os.geteuid() == 0 else _CLONE_NEWUSER | _CLONE_NEWNET
    if _libc.unshare(kinds):
        reason = os.strerror(ctypes.get_errno())
        raise NoNamespacesError(f"the kernel gives no network namespace: {reason}; try as root")


def _open_device() -> int:
    try:
        device = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
        wanted = struct.pack("16sH22x", _DEVICE.encode(), _IFF_TUN | _IFF_NO_PI)
        fcntl.ioctl(device, _TUNSETIFF, wanted)
    except OSError as error:
        raise NoNamespacesError(f"no TUN device: {error}") from error
    return device


def _set(name: str, value: str) -> None:
    file = Path("/proc/sys") / name
    if file.exists():  # a kernel without IPv6 has nothing to switch off
        try:
            file.write_text(value)
        except OSError as error:
            raise NoNamespacesError(f"cannot set {name}: {error}") from error
