"""A message to people by SMTP, in plain text and escaped HTML.

smtplib runs in a thread; it connects to an address that was checked, and TLS verifies the host's
name. The Message-ID is the same for every try, so a mail system can drop repetitions.
"""

import asyncio
import contextlib
import html
import smtplib
import socket
import ssl
from collections.abc import Sequence
from email.message import EmailMessage
from email.policy import SMTP as SMTP_POLICY
from email.utils import format_datetime
from typing import Any, ClassVar

from enrich.actions.adapters.contract import Guarantee, Message
from enrich.actions.addresses import Network
from enrich.actions.connections import Resolver, checked_addresses, system_resolver
from enrich.actions.errors import DoubtError, PermanentError, TransientError
from enrich.actions.plain_text import one_line
from enrich.actions.settings import EmailTarget

DIALOGUE = 3  # a whole delivery may take so many times what one answer may


class Email:
    """No idempotency that all mail systems honour."""

    name: ClassVar[str] = "email"
    group_seconds: ClassVar[float] = 600.0

    def __init__(
        self,
        settings: EmailTarget,
        password: str,
        *,
        allowed: Sequence[Network] = (),
        resolver: Resolver = system_resolver,
        ssl_context: ssl.SSLContext | None = None,
    ) -> None:
        self.guarantee = Guarantee(settings.delivery.replace("-", " "))
        self._settings = settings
        self._password = password
        self._allowed = allowed
        self._resolver = resolver
        self._context = ssl_context

    async def send(self, message: Message) -> None:
        """Deliver to the configured server."""
        host, port = self._settings.host, self._settings.port
        addresses = await checked_addresses(host, port, self._allowed, self._resolver)
        context = self._context or ssl.create_default_context()
        server = _server(self._settings, addresses[0], context)
        limit = DIALOGUE * self._settings.timeout_seconds
        try:
            async with asyncio.timeout(limit):
                await asyncio.to_thread(
                    self._deliver, letter(self._settings, message), server, context
                )
        except TimeoutError as error:
            said = f"{host} did not take the mail within {limit:g} s"
            raise DoubtError(said, kind="timeout") from error
        finally:
            _hang_up(server)  # a thread that nobody waits for any more would keep talking

    async def close(self) -> None:
        """Nothing is kept open."""

    def _deliver(self, mail: EmailMessage, server: smtplib.SMTP, context: ssl.SSLContext) -> None:
        host, sent = self._settings.host, False
        try:
            self._connect(server, context)
            sent = True
            refused = server.send_message(mail)
            with contextlib.suppress(smtplib.SMTPException, OSError):
                server.quit()  # the mail is taken, whatever is said after it
        except smtplib.SMTPAuthenticationError as error:
            raise PermanentError(f"{host} refused the login", kind="unauthorized") from error
        except smtplib.SMTPRecipientsRefused as error:
            raise _error_of(host, max(code for code, _ in error.recipients.values())) from error
        except smtplib.SMTPResponseException as error:
            raise _error_of(host, error.smtp_code) from error
        except (smtplib.SMTPException, OSError) as error:
            if sent:
                raise DoubtError(f"{host} closed the connection while taking mail") from error
            raise TransientError(f"{host} cannot be reached", kind="unreachable") from error
        if refused:
            raise PermanentError(
                f"{host} refused {len(refused)} of {len(self._settings.to)} recipients",
                kind="rejected",
            )

    def _connect(self, server: smtplib.SMTP, context: ssl.SSLContext) -> None:
        settings = self._settings
        server.connect(settings.host, settings.port)
        if settings.security == "starttls":
            server.starttls(context=context)
        if settings.user:
            server.login(settings.user, self._password)


def letter(settings: EmailTarget, message: Message) -> EmailMessage:
    """The mail: one line of subject, plain text, and the same in HTML."""
    mail = EmailMessage(policy=SMTP_POLICY)
    mail["From"] = settings.sender
    mail["To"] = ", ".join(settings.to)
    mail["Subject"] = one_line(message.title)
    mail["Date"] = format_datetime(message.at)
    domain = settings.sender.rpartition("@")[2].strip("> ") or "hooksift.invalid"
    mail["Message-ID"] = f"<{message.key}@{domain}>"
    mail["Auto-Submitted"] = "auto-generated"
    mail.set_content(f"{message.text}\n")
    mail.add_alternative(f"<pre>{html.escape(message.text)}</pre>\n", subtype="html")
    return mail


def _error_of(host: str, code: int) -> TransientError | PermanentError:
    said = f"{host} answered {code}"
    return TransientError(said) if code < 500 else PermanentError(said, kind="rejected")


def _hang_up(server: smtplib.SMTP) -> None:
    connection = server.sock
    if connection is not None:
        with contextlib.suppress(OSError):  # closed by the other side already
            connection.shutdown(socket.SHUT_RDWR)
        server.close()


def _server(settings: EmailTarget, address: str, context: ssl.SSLContext) -> smtplib.SMTP:
    """An SMTP client whose connection goes to `address`, whatever the name resolves to now."""

    class Pinned(smtplib.SMTP):
        def _get_socket(self, host: str, port: int, timeout: float) -> socket.socket:
            plain = socket.create_connection((address, port), timeout)
            if settings.security != "tls":
                return plain
            return context.wrap_socket(plain, server_hostname=host)

    server: Any = Pinned(timeout=settings.timeout_seconds)
    server._host = settings.host  # what STARTTLS verifies; smtplib sets it only when it connects
    return server  # type: ignore[no-any-return]
