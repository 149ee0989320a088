"""Everything that `service` raises on purpose.

HooksiftError
├── SettingsError          the configuration is wrong; says where and how to mend it
└── StoreError             the event store cannot do what was asked
    ├── StoreUnavailable   now: database down, disk full, queue full; worth trying again
    ├── NotStorable        with this payload: the database refuses it however often it is tried
    └── SchemaError        not with this program: schema newer than it, or file damaged
"""


class HooksiftError(Exception):
    """The root of what Hooksift raises on purpose; its text is for the person who reads it."""


class SettingsError(HooksiftError):
    """The configuration is wrong."""


class StoreError(HooksiftError):
    """The event store cannot do what was asked."""


class StoreUnavailable(StoreError):  # noqa: N818 - a state of the store, answered with 503
    """The store cannot commit now; the caller may try again."""


class NotStorable(StoreError):  # noqa: N818 - a verdict on the payload, answered with 400
    """The database will never take this payload."""


class SchemaError(StoreError):
    """The store was made by a newer program, or is damaged."""
