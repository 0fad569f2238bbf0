"""What `iacs` says when a command cannot be done: what is missing and where to say it, and never a traceback."""

import asyncio
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner, Result

from services import cli
from services.commands import reach
from shared import deployment, topics
from shared.kafka import Kafka
from shared.platform import ports
from shared.platform.postgres import Postgres
from shared.platform.stack import Stack
from shared.testing import nowhere

COMMUNITY = Path(deployment.__file__).parent / "communities" / "provider-supplier.toml"
NEED_SETTINGS = (
    ("prepare",),
    ("db", "upgrade"),
    ("topics", "apply"),
    ("events", "tail"),
    ("community", "list"),
    ("community", "apply", str(COMMUNITY)),
    ("operator", "appoint", "--user-id", "K7MQ42XP"),
    ("operator", "say-everything"),
    ("parked", "list", "approval"),
    ("story", "--url", "http://127.0.0.1:9"),
)

Iacs = Callable[..., Result]


@pytest.fixture
def iacs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iacs:
    """Return a function that gives a command on an empty folder, told the settings of a stack where nothing answers."""
    for name in [name for name in os.environ if name.startswith("IACS_")]:
        monkeypatch.delenv(name)

    def give(*words: str, **told: str) -> Result:
        done = CliRunner().invoke(cli.app, [*words, "--data", str(tmp_path)], env=told)
        assert done.exit_code == 0 or isinstance(done.exception, SystemExit), repr(done.exception)
        return done

    return give


@pytest.mark.parametrize("words", NEED_SETTINGS, ids=" ".join)
def test_where_nothing_was_started_each_command_says_so_and_how_it_is_told_more(
    iacs: Iacs, tmp_path: Path, words: tuple[str, ...]
) -> None:
    done = iacs(*words)
    assert done.exit_code == 2
    assert done.stderr.startswith(f"Nothing was started in {tmp_path}: start it with `iacs up`")
    assert "--data" in done.stderr


@pytest.mark.parametrize("words", [("serve",), ("db", "upgrade"), ("parked", "list")], ids=" ".join)
def test_a_service_that_there_is_none_of_is_refused_with_those_there_are(iacs: Iacs, words: tuple[str, ...]) -> None:
    done = CliRunner().invoke(cli.app, [*words, "aproval"], env={"COLUMNS": "300"})
    assert done.exit_code == 2
    assert "There is no service aproval: registration, approval, directory, notification." in done.stderr


@pytest.mark.parametrize(
    ("words", "option"),
    [
        (("serve", "approval", "--settings", "{missing}"), "--settings"),
        (("story", "--svg", "{missing}/story.svg"), "--svg"),
        (("story", "--url", "nonsense"), "--url"),
        (("story", "--url", "http://127.0.0.1:port"), "--url"),
        (("install", "{file}"), "folder"),
        (("up", "--detach", "--data", "{file}"), "--data"),
        (("topics", "apply", "--partitions", "0"), "--partitions"),
        (("topics", "apply", "--replication", "0"), "--replication"),
    ],
    ids=lambda it: " ".join(it) if isinstance(it, tuple) else it,
)
def test_what_cannot_be_is_refused_before_anything_is_done(tmp_path: Path, words: tuple[str, ...], option: str) -> None:
    places = {"missing": str(tmp_path / "missing"), "file": __file__}
    done = CliRunner().invoke(cli.app, [word.format(**places) for word in words], env={"COLUMNS": "300"})
    assert done.exit_code == 2
    assert f"Invalid value for '{option}'" in done.stderr


def test_settings_that_are_wrong_are_named_each_on_a_line(iacs: Iacs, tmp_path: Path) -> None:
    told = nowhere.settings(tmp_path) | {"IACS_DIRECTORY_DATABASE_URL": "", "IACS_DIRECTORY_SEAL_KEY": "{}"}
    del told["IACS_DIRECTORY_DATABASE_URL"]
    done = iacs("community", "list", **told)
    assert done.exit_code == 2
    assert [line.split(":")[0] for line in done.stderr.splitlines()[1:]] == [
        "IACS_DIRECTORY_DATABASE_URL",
        "IACS_DIRECTORY_SEAL_KEY",
    ]


@pytest.mark.parametrize("url", ["ftp://x", "/documents", "file://documents/here", "s3:///prefix", "hush-hush"])
def test_a_place_for_documents_that_nothing_can_be_kept_in_is_named(iacs: Iacs, tmp_path: Path, url: str) -> None:
    done = iacs(
        "parked", "list", "registration", **nowhere.settings(tmp_path) | {"IACS_REGISTRATION_DOCUMENTS_URL": url}
    )
    assert done.exit_code == 2
    assert "IACS_REGISTRATION_DOCUMENTS_URL: must be file:///path or s3://bucket/prefix" in done.stderr
    assert "hush" not in done.stderr


def test_a_line_of_the_settings_file_that_is_none_is_named_by_its_number(iacs: Iacs, tmp_path: Path) -> None:
    (tmp_path / deployment.SETTINGS_FILE).write_text("A=1\n\nhush-hush\nB=2\n")
    done = iacs("parked", "list", "approval")
    assert done.exit_code == 2
    assert "settings.env, line 3: must be NAME=value" in done.stderr
    (tmp_path / deployment.SETTINGS_FILE).write_bytes(b"A=\xff")
    done = iacs("parked", "list", "approval")
    assert (done.exit_code, "settings.env: must be UTF-8" in done.stderr) == (2, True)
    assert "hush" not in done.stderr


def test_an_address_that_is_none_of_a_database_is_named_before_any_other_is_changed(iacs: Iacs, tmp_path: Path) -> None:
    done = iacs("db", "upgrade", **nowhere.settings(tmp_path) | {"IACS_NOTIFICATION_DATABASE_URL": "hush-hush"})
    assert done.exit_code == 2
    assert "IACS_NOTIFICATION_DATABASE_URL: must be like postgresql://" in done.stderr
    assert "hush" not in done.stderr


def test_a_database_without_an_address_is_named_before_any_other_is_changed(iacs: Iacs, tmp_path: Path) -> None:
    told = nowhere.settings(tmp_path)
    del told["IACS_NOTIFICATION_DATABASE_URL"]
    done = iacs("db", "upgrade", **told)
    assert done.exit_code == 2
    assert "IACS_NOTIFICATION_DATABASE_URL: Field required" in done.stderr


def test_the_environment_goes_before_the_settings_of_the_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = {"IACS_DIRECTORY_KAFKA_SERVERS": "of-the-folder:1", "IACS_DIRECTORY_API_PORT": "8102"}
    (tmp_path / deployment.SETTINGS_FILE).write_text(deployment.text(kept))
    monkeypatch.setenv("IACS_DIRECTORY_KAFKA_SERVERS", "of-the-environment:1")
    told = reach.told_in(tmp_path)
    assert told["IACS_DIRECTORY_KAFKA_SERVERS"] == "of-the-environment:1"
    assert told["IACS_DIRECTORY_API_PORT"] == "8102"


def test_a_service_is_told_by_a_file_and_the_environment_goes_before_it(tmp_path: Path) -> None:
    told = {**deployment.of_service(nowhere.settings(tmp_path), "approval"), "IACS_APPROVAL_API_PORT": "of the file"}
    told["IACS_APPROVAL_DATABASE_POOL_SIZE"] = "of the file"
    file = tmp_path / "approval.env"
    file.write_text(deployment.text(told))
    done = subprocess.run(
        [sys.executable, "-m", "services.cli", "serve", "approval", "--settings", str(file)],
        env={**os.environ, "IACS_APPROVAL_API_PORT": "8101"},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 2
    assert [line.split(":")[0] for line in done.stderr.splitlines()[1:]] == ["IACS_APPROVAL_DATABASE_POOL_SIZE"]


@pytest.mark.parametrize(
    ("environment", "name"),
    [({"SUDO_USER": "ann", "USER": "root"}, "ann"), ({"USER": "ben"}, "ben"), ({}, str(os.getuid()))],
)
def test_an_operator_is_recorded_by_the_name_of_the_person_and_not_of_root(
    monkeypatch: pytest.MonkeyPatch, environment: dict[str, str], name: str
) -> None:
    for variable in ("SUDO_USER", "USER"):
        monkeypatch.delenv(variable, raising=False)
    for variable, value in environment.items():
        monkeypatch.setenv(variable, value)
    assert reach.operator() == f"operator {name}"


@pytest.mark.parametrize(
    ("server", "words"),
    [
        ("PostgreSQL or Kafka", ("prepare",)),
        ("PostgreSQL", ("db", "upgrade")),
        ("PostgreSQL", ("community", "list")),
        ("PostgreSQL", ("parked", "list", "approval")),
        ("Kafka", ("topics", "apply")),
        ("Kafka", ("events", "tail")),
    ],
)
def test_a_server_that_does_not_answer_is_told_with_its_address_in_one_sentence(
    iacs: Iacs, tmp_path: Path, server: str, words: tuple[str, ...]
) -> None:
    done = iacs(*words, **nowhere.settings(tmp_path))
    assert done.exit_code == 1
    assert f"{server} does not answer as it must:" in done.stderr
    assert ports.HOST in done.stderr
    assert nowhere.PASSWORD not in done.output + done.stderr


def test_an_installation_without_a_database_is_told_in_one_sentence(tmp_path: Path) -> None:
    told = {
        "POSTGRES_URL": f"postgresql://iacs:{nowhere.PASSWORD}@{nowhere.ADDRESS}/postgres",
        "KAFKA_SERVERS": nowhere.ADDRESS,
        "PUBLIC_URL": f"http://{nowhere.ADDRESS}",
        "SMTP_URL": f"smtp://{nowhere.ADDRESS}",
    }
    environment = {f"IACS_INSTALLATION_{name}": value for name, value in told.items()}
    done = CliRunner().invoke(cli.app, ["install", str(tmp_path)], env=environment)
    assert (done.exit_code, done.exception.__class__) == (1, SystemExit)
    assert "PostgreSQL or Kafka does not answer as it must:" in done.stderr
    assert nowhere.PASSWORD not in done.output + done.stderr


def test_an_installation_is_told_where_postgresql_is_before_anything_is_made(tmp_path: Path) -> None:
    told = {"POSTGRES_URL": "hush-hush", "KAFKA_SERVERS": "", "PUBLIC_URL": "http://a", "SMTP_URL": "smtp://a"}
    environment = {f"IACS_INSTALLATION_{name}": value for name, value in told.items()}
    done = CliRunner().invoke(cli.app, ["install", str(tmp_path)], env=environment)
    assert done.exit_code == 2
    assert [line.split(":")[0] for line in done.stderr.splitlines()[1:]] == [
        "IACS_INSTALLATION_POSTGRES_URL",
        "IACS_INSTALLATION_KAFKA_SERVERS",
    ]
    assert "hush" not in done.stderr


def test_who_stops_reading_what_is_printed_is_not_told_as_trouble_of_a_server(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with pytest.raises(BrokenPipeError), reach.asking("Kafka"):
        raise BrokenPipeError
    assert capsys.readouterr().err == ""


def test_a_database_that_lets_nobody_in_is_told_in_one_sentence(iacs: Iacs, tmp_path: Path, postgres: Postgres) -> None:
    wrong = f"postgresql://nobody-of-ours:{nowhere.PASSWORD}@{postgres.address}/postgres"
    done = iacs("db", "upgrade", **nowhere.settings(tmp_path, wrong))
    assert done.exit_code == 1
    assert "PostgreSQL does not answer as it must:" in done.stderr
    assert "nobody-of-ours" in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert nowhere.PASSWORD not in done.output + done.stderr


def test_the_database_of_one_service_is_upgraded_alone(iacs: Iacs, tmp_path: Path, postgres: Postgres) -> None:
    postgres.create_database("alone")
    told = nowhere.settings(tmp_path) | {"IACS_APPROVAL_DATABASE_URL": postgres.dsn("alone")}
    done = iacs("db", "upgrade", "approval", **told)
    assert (done.exit_code, done.stdout) == (0, "At the newest schema: approval.\n")
    postgres.drop_database("alone")


def test_topics_are_found_as_decided_or_told_to_be_otherwise(iacs: Iacs, tmp_path: Path, stack: Stack) -> None:
    told = nowhere.settings(tmp_path) | {"IACS_DIRECTORY_KAFKA_SERVERS": stack.kafka.servers}
    there = asyncio.run(topics.apply(Kafka(stack.kafka.servers), partition_count=2))
    assert there == []
    done = iacs("topics", "apply", "--partitions", "2", **told)
    assert (done.exit_code, done.stdout) == (0, "All topics are there.\n")
    for words in (("--partitions", "3"), ("--partitions", "2", "--replication", "2")):
        other = iacs("topics", "apply", *words, **told)
        assert (other.exit_code, other.stderr.startswith("Topics are not as decided:")) == (1, True)


def test_a_file_that_cannot_be_written_is_no_fault_of_a_server(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(typer.Exit), reach.asking("PostgreSQL"):
        Path("/proc/no/such/folder").mkdir()
    assert "PostgreSQL" not in capsys.readouterr().err


def test_a_fault_of_ours_keeps_its_traceback(iacs: Iacs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise AssertionError("not anybody's settings")

    monkeypatch.setattr("shared.migrate.upgrade", broken)
    done = CliRunner().invoke(cli.app, ["db", "upgrade", "--data", str(tmp_path)], env=nowhere.settings(tmp_path))
    assert isinstance(done.exception, AssertionError)


def test_what_starts_and_stops_everything_is_small_itself_and_loads_nothing_of_the_services(tmp_path: Path) -> None:
    program = (
        "import sys; from typer.testing import CliRunner; from services import cli; import shared.platform.supervisor;"
        f"CliRunner().invoke(cli.app, ['status', '--data', {str(tmp_path)!r}]);"
        "print({'sqlalchemy', 'asyncpg', 'aiokafka', 'fastapi'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"
