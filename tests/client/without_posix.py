"""Runs the client without what only Unix has: `python -m tests.client.without_posix transcribe FILE`.

Python and other packages keep it. Our modules find no `fcntl` and so on, no signals and functions that Windows lacks,
and `os.name` and `sys.platform` of Windows.
"""

from __future__ import annotations

import builtins
import os
import signal
import sys
from types import ModuleType
from typing import Any

OURS = ("client", "api", "media", "transcript")
HIDDEN_MODULES = ("fcntl", "resource", "pwd", "grp", "termios", "tty", "pty", "syslog", "readline", "fontconfig")
WINDOWS_SIGNALS = ("SIGINT", "SIGTERM", "SIGABRT", "SIGFPE", "SIGILL", "SIGSEGV", "SIG_DFL", "SIG_IGN")
HIDDEN_IN_OS = (
    *("fork", "forkpty", "getuid", "geteuid", "getgid", "getegid", "getpgid", "setsid", "killpg", "nice", "uname"),
    *("pread", "pwrite", "sendfile", "posix_fadvise", "posix_fallocate", "statvfs", "mkfifo", "chown", "lchown"),
    *("fchmod", "fchown", "sched_getaffinity", "sched_setaffinity", "getloadavg", "sync", "wait", "WNOHANG"),
    *("O_NOFOLLOW", "O_DIRECTORY", "O_CLOEXEC", "O_NONBLOCK"),
)


class WindowsModule(ModuleType):
    """A module as it is on Windows.

    Args:
        real: the module as it is here.
        hidden: names that it lacks there.
        changed: values that differ there.
    """

    def __init__(self, real: ModuleType, hidden: frozenset[str], **changed: str) -> None:
        super().__init__(real.__name__)
        self.__dict__.update(changed)
        self._real, self._hidden = real, hidden

    def __getattr__(self, name: str) -> Any:
        if name in self._hidden:
            raise AttributeError(f"{self.__name__}.{name} does not exist on Windows")
        return getattr(self._real, name)


_UNIX_SIGNALS = frozenset(name for name in vars(signal) if name.startswith("SIG")) - {*WINDOWS_SIGNALS}
_CHANGED = {
    "os": WindowsModule(os, frozenset(HIDDEN_IN_OS), name="nt"),
    "signal": WindowsModule(signal, _UNIX_SIGNALS),
    "sys": WindowsModule(sys, frozenset(), platform="win32"),
}
_import = builtins.__import__


def import_as_on_windows(
    name: str, globals: Any = None, locals: Any = None, fromlist: Any = (), level: int = 0
) -> ModuleType:
    importer = str((globals or {}).get("__name__", "")).partition(".")[0]
    if importer not in OURS or level:
        return _import(name, globals, locals, fromlist, level)
    if name.partition(".")[0] in HIDDEN_MODULES:
        raise ImportError(f"{name} does not exist on Windows")
    return _CHANGED.get(name) or _import(name, globals, locals, fromlist, level)


if __name__ == "__main__":
    builtins.__import__ = import_as_on_windows
    from client.__main__ import main

    main()
