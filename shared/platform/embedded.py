"""What the four services need of an embedded stack: a database each, and settings, in `<data>/settings.env`."""

from shared import deployment
from shared.platform import ports, state
from shared.platform.stack import Stack


def make_databases(stack: Stack) -> None:
    """Make the database of each service that has none."""
    existing = stack.postgres.databases()
    for service in deployment.SERVICES:
        if f"iacs_{service}" not in existing:
            stack.postgres.create_database(f"iacs_{service}")


def write(stack: Stack) -> dict[str, str]:
    """Write the settings for a stack that runs, and return them. What is secret stays as it was."""
    path = stack.data / deployment.SETTINGS_FILE
    documents = stack.data / "documents"
    documents.mkdir(mode=0o700, exist_ok=True)
    place = deployment.Place(
        database_url=lambda service: stack.postgres.dsn(f"iacs_{service}"),
        listen=lambda service: (ports.HOST, stack.ports.claim(service)),
        kafka_servers=stack.kafka.servers,
        public_url=f"http://{ports.HOST}:{stack.ports.claim('gateway')}",
        documents_url=documents.as_uri(),
        smtp_url=stack.mail.smtp_url,
        clock_file=stack.data / "clock",
    )
    settings = deployment.settings(place, kept=deployment.read(path) if path.exists() else {})
    state.write_whole(path, deployment.text(settings))
    return settings
