"""What can go wrong, named for what is so; each says what happens next.

Two families: a *transient* error is tried again, a *permanent* one is set aside and told to its sender.
"""


class Transient(Exception):
    """It may work later. What failed is tried again, in order, until it does."""


class Permanent(Exception):
    """It will never work. It is set aside for a person, and the rest goes on."""


class StoreUnavailable(Transient):
    """The database does not answer. Whether the last write happened is not known; repeating it is safe."""


class BrokerUnavailable(Transient):
    """Kafka did not acknowledge. Whether the events arrived is not known; sending them again is safe."""


class Unreadable(Permanent):
    """Nobody will ever be able to read this message. Its text says where and why, never what was in it."""


class DeploymentBroken(Exception):
    """Everything that arrives is unreadable: not the messages are wrong but the deployment. Consuming stops."""


class Refused(Permanent):
    """What was asked for contradicts what is so; nothing was changed.

    `kind` is a short name for programs (`relationship-ended`); the text says what was wrong and what to do.
    """

    def __init__(self, kind: str, detail: str) -> None:
        super().__init__(detail)
        self.kind = kind


class Unknown(Refused):
    """What was asked about is not known here."""
