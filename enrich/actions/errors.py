"""Everything that an action can end in, apart from success.

HooksiftError
└── ActionError            `kind` is the stable word that lands in the history
    ├── TransientError     worth trying again; `retry_after_seconds` when the target said when
    │   ├── ConflictError  somebody changed the ticket meanwhile: read it again, at once
    │   └── DoubtError     the request left, no answer came: it may or may not have had its effect
    └── PermanentError     trying again changes nothing; the work item dies with this reason
        ├── ForbiddenAddressError  the address is not one that outbound calls may reach
        └── NotOursError           the event is not about what this target is configured for
"""

from service.errors import HooksiftError


class ActionError(HooksiftError):
    """An action had no effect, or perhaps none."""

    kind = "action_failed"

    def __init__(self, message: str, *, kind: str | None = None) -> None:
        super().__init__(message)
        if kind is not None:
            self.kind = kind


class TransientError(ActionError):
    """The target could not answer now."""

    kind = "unavailable"

    def __init__(
        self, message: str, *, kind: str | None = None, retry_after_seconds: float | None = None
    ) -> None:
        super().__init__(message, kind=kind)
        self.retry_after_seconds = retry_after_seconds


class ConflictError(TransientError):
    """The ticket changed between our read and our write."""

    kind = "conflict"


class DoubtError(TransientError):
    """The request was sent and the answer never came."""

    kind = "no_answer"


PERHAPS_MADE = frozenset(("no_answer", "timeout", "server_error", "in_doubt", "bug"))
"""Kinds of errors of a message that may have been delivered all the same."""


class PermanentError(ActionError):
    """The target will never take this."""

    kind = "refused"


class ForbiddenAddressError(PermanentError):
    """A host name leads to an address that is private, local or otherwise not allowed."""

    kind = "forbidden_address"


class NotOursError(PermanentError):
    """Another account, project or provider than the configured one, or an id that is no id."""

    kind = "not_ours"
