"""What leaves this machine about one event: its text and labelled examples, values masked."""

from collections.abc import Callable
from typing import NamedTuple

from enrich.enricher import EventText, Example, ExampleFinder, NoExamples
from enrich.injection import looks_injected
from enrich.prompt import event_message
from enrich.redact import redact


class OutgoingMessage(NamedTuple):
    """A user message, and how many secrets and personal data of the event are masked in it."""

    text: str
    redacted_count: int


class Outgoing:
    """Writes the user message of an event. The only place where an event's text goes out."""

    def __init__(
        self,
        examples: ExampleFinder | None = None,
        example_count: int = 6,
        redacts: Callable[[str], bool] = lambda _source: True,
        phone_region: str = "US",
    ) -> None:
        self.example_count = example_count
        self._examples = examples or NoExamples()
        self._redacts = redacts
        self._phone_region = phone_region

    def message(self, event: EventText) -> OutgoingMessage:
        """The event with the labelled texts nearest to it, masked unless its source is not."""
        count = 0
        examples = self._nearest(event)
        if self._redacts(event.source):
            title = redact(event.title, self._phone_region)
            text = redact(event.text, self._phone_region)
            examples = [e._replace(text=redact(e.text, self._phone_region).text) for e in examples]
            event = event._replace(title=title.text, text=text.text)
            count = sum(title.counts.values()) + sum(text.counts.values())
        return OutgoingMessage(event_message(event, examples), count)

    def _nearest(self, event: EventText) -> list[Example]:
        """Labelled texts like the event's; none that speaks to the model itself."""
        if not self.example_count:
            return []
        found = self._examples.nearest(event, self.example_count)
        return [example for example in found if not looks_injected("", example.text)]
