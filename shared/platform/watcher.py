"""Runs one foreign process, keeps its log, and ends it as soon as whoever asked for it is gone.

    python -m shared.platform.watcher [--log FILE] [--end SIGNAL] [--grace SECONDS] [--user NAME]
                                      -- COMMAND...

The pipe on standard input is the life line: the starter holds its other end, and the kernel closes it
however the starter dies. The watcher answers the process's id on standard output, copies what the
process prints to the log, and exits with its exit status.

Files that the starter passes on stay open here and in the process. A lock among them is held as long as
anything of it lives, even if the watcher itself was killed.

One watcher runs beside each foreign process, so it imports next to nothing (about 6 MB each): no
argparse, no subprocess, no logging, no typing.
"""

from __future__ import annotations

import os
import select
import signal
import sys
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import NoReturn

LOG_BYTES_MAX = 5_000_000  # Then the log is renamed to FILE.1 and begun anew.
CANNOT_START = 127

_SIGNALS = (signal.SIGINT, signal.SIGHUP, signal.SIGTERM, signal.SIGCHLD)
_PR_SET_PDEATHSIG, _PR_SET_KEEPCAPS, _PR_CAP_AMBIENT, _PR_CAP_AMBIENT_RAISE = 1, 8, 47, 2
_CAP_DAC_OVERRIDE = 1


class Log:
    """A file that takes bytes and never grows past twice its limit. Without a path: standard error."""

    def __init__(self, path: str | None) -> None:
        self._path = path
        self._file = 2 if path is None else self._open(path)
        self._size = os.fstat(self._file).st_size if path else 0

    @staticmethod
    def _open(path: str) -> int:
        # Postgres and Java may name people in an error: the log is its owner's alone.
        return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)

    def write(self, data: bytes) -> None:
        """Append; past the limit begin anew, behind the last line that is whole."""
        if self._path and self._size + len(data) > LOG_BYTES_MAX:
            whole, line_end, data = data.rpartition(b"\n")
            if line_end:
                self._append(whole + line_end)
                os.close(self._file)
                os.replace(self._path, self._path + ".1")  # noqa: PTH105 - pathlib costs 1 MB of memory.
                self._file, self._size = self._open(self._path), 0
        self._append(data)

    def _append(self, data: bytes) -> None:
        try:
            os.write(self._file, data)
        except OSError:
            return  # A full disk costs log lines, not the process.
        self._size += len(data)


def execute(command: list[str]) -> NoReturn:
    """Become the program of this name."""
    os.execvp(command[0], command)  # noqa: S606 - no shell is wanted.


def main(argv: list[str], become: Callable[[list[str]], NoReturn] = execute) -> int:
    """Run the command after `--` until it ends or standard input closes, and return its exit status.

    `become` turns the child that was forked for it into the command.
    """
    cut = argv.index("--")
    options = dict(zip(argv[0:cut:2], argv[1:cut:2], strict=True))
    end_signal = signal.Signals[f"SIG{options.get('--end', 'TERM')}"]
    grace_seconds = float(options.get("--grace", "10"))

    os.umask(0o077)  # What these programs write is about people.
    output, output_in = os.pipe()
    watcher = os.getpid()
    # Until each side has said what a signal means to it, none is delivered: one that came between fork
    # and exec would be lost.
    signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)
    child = os.fork()
    if child == 0:
        _begin(argv[cut + 1 :], become, options.get("--user"), output_in, watcher)
    os.close(output_in)
    os.set_blocking(output, False)

    alarm, alarm_in = os.pipe()
    os.set_blocking(alarm, False)
    os.set_blocking(alarm_in, False)
    signal.set_wakeup_fd(alarm_in)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.signal(signal.SIGTERM, lambda *_: None)
    # A Ctrl-C reaches the whole terminal; the order of ending is the starter's to choose.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, _SIGNALS)
    _answer(child)

    log = Log(options.get("--log"))
    wanted: list[int] = [0, alarm, output]
    deadline: float | None = None
    while True:
        patience = None if deadline is None else max(0.0, deadline - time.monotonic())
        ready, _, _ = select.select(wanted, [], [], patience)
        if output in ready and not _copy(output, log):
            wanted.remove(output)  # Closed by a process that goes on living.
        rung = os.read(alarm, 64) if alarm in ready else b""
        if signal.SIGCHLD in rung:
            ended, status = os.waitpid(child, os.WNOHANG)
            if ended:
                while output in wanted and select.select([output], [], [], 0)[0] and _copy(output, log):
                    pass
                return os.waitstatus_to_exitcode(status) % 256
        gone = 0 in ready and not os.read(0, 64)
        if gone:
            wanted.remove(0)
        if deadline is None and (gone or signal.SIGTERM in rung):
            deadline = time.monotonic() + grace_seconds
            os.kill(child, end_signal)
            os.kill(child, signal.SIGCONT)  # A paused process could not hear it.
        elif deadline is not None and time.monotonic() >= deadline:
            deadline = time.monotonic() + grace_seconds
            os.kill(child, signal.SIGKILL)


def _answer(child: int) -> None:
    try:
        os.write(1, b"%d\n" % child)
    except BrokenPipeError:
        return  # Whoever asked is gone already, and the life line says so next.


def _copy(source: int, log: Log) -> bool:
    """Copy what there is. False at the end of the stream."""
    try:
        data = os.read(source, 65_536)
    except BlockingIOError:
        return True
    log.write(data)
    return bool(data)


def _begin(
    command: list[str], become: Callable[[list[str]], NoReturn], user: str | None, output: int, parent: int
) -> NoReturn:
    """Turn the forked child into the command, under another user if asked."""
    try:
        # What Python handles or ignores here would be ignored there.
        for number in (*_SIGNALS, signal.SIGPIPE, signal.SIGXFSZ):
            signal.signal(number, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _SIGNALS)
        os.setpgid(0, 0)
        null = os.open("/dev/null", os.O_RDONLY)
        os.dup2(null, 0)
        os.dup2(output, 1)
        os.dup2(output, 2)
        if user is not None:
            _drop_root(user, command[0])
        _die_with(parent)
        become(command)
    except BaseException as trouble:
        os.write(2, f"{command[0]} did not start: {trouble}\n".encode())
    finally:
        os._exit(CANNOT_START)


def _die_with(parent: int) -> None:
    """Let a Linux kernel end this process if the watcher is killed; elsewhere its lock tells of it."""
    if sys.platform == "linux":
        import ctypes  # noqa: PLC0415 - only the child pays for it, and exec gives it back.

        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        if os.getppid() != parent:
            os._exit(CANNOT_START)  # It died before the kernel was told.


def _drop_root(user: str, program: str) -> None:
    """Become `user`, who can still reach the program and the working folder.

    PostgreSQL refuses to run as root. Where another user cannot walk to its folders (a checkout under
    /root), it keeps the one capability to pass them, rather than have those folders opened to everybody.
    """
    import pwd  # noqa: PLC0415 - as above.

    entry = pwd.getpwnam(user)
    libc = None
    if sys.platform == "linux":
        import ctypes  # noqa: PLC0415 - as above.

        libc = ctypes.CDLL(None, use_errno=True)
        libc.prctl(_PR_SET_KEEPCAPS, 1, 0, 0, 0)
    os.setgroups([])
    os.setgid(entry.pw_gid)
    os.setuid(entry.pw_uid)
    if libc is None:
        return
    reachable = os.access(program, os.X_OK) and os.access(os.getcwd(), os.R_OK | os.W_OK | os.X_OK)  # noqa: PTH109
    kept = 0 if reachable else 1 << _CAP_DAC_OVERRIDE
    header = (ctypes.c_uint32 * 2)(0x20080522, 0)
    capabilities = (ctypes.c_uint32 * 6)(kept, kept, kept, 0, 0, 0)
    if libc.capset(header, capabilities) != 0:
        raise PermissionError(f"user {user} cannot reach {program} or {os.getcwd()}")  # noqa: PTH109
    if kept:
        libc.prctl(_PR_CAP_AMBIENT, _PR_CAP_AMBIENT_RAISE, _CAP_DAC_OVERRIDE, 0, 0)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
