"""How Kafka is reached: where, and over which secured connection.

Source: architecture 3 (a production profile refuses plaintext Kafka).
"""

import ssl
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal

Protocol = Literal["PLAINTEXT", "SSL", "SASL_SSL"]
Mechanism = Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"]


@dataclass(frozen=True)
class Kafka:
    """A cluster, and how this process proves who it is to it.

    With SSL a client certificate may be given; with SASL_SSL a user and password are.
    """

    servers: str
    """host:port[,host:port]"""
    protocol: Protocol = "PLAINTEXT"
    mechanism: Mechanism = "SCRAM-SHA-512"
    user: str = ""
    password: str = field(default="", repr=False)
    ca_file: str | None = None
    certificate_file: str | None = None
    key_file: str | None = None

    @cached_property
    def context(self) -> ssl.SSLContext | None:
        """What secures a connection; None without any."""
        if self.protocol == "PLAINTEXT":
            return None
        context = ssl.create_default_context(cafile=self.ca_file)
        if self.certificate_file:
            context.load_cert_chain(self.certificate_file, self.key_file)
        return context

    def client(self) -> dict[str, Any]:
        """Return what every aiokafka client takes."""
        told: dict[str, Any] = {"bootstrap_servers": self.servers, "security_protocol": self.protocol}
        if self.context is not None:
            told["ssl_context"] = self.context
        if self.protocol == "SASL_SSL":
            told |= {
                "sasl_mechanism": self.mechanism,
                "sasl_plain_username": self.user,
                "sasl_plain_password": self.password,
            }
        return told
