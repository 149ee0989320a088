"""Transports without a network."""

from asyncio import Transport


class Sent(Transport):
    """A transport that keeps what it is told to send."""

    def __init__(self, *, is_broken: bool = False) -> None:
        super().__init__()
        self.pieces: list[bytes] = []
        self.closed = self.is_reading = False
        self.is_broken = is_broken

    def write(self, data: bytes) -> None:  # type: ignore[override]
        if self.is_broken:
            raise OSError
        if not self.closed:
            self.pieces.append(data)

    def pause_reading(self) -> None:
        self.is_reading = False

    def resume_reading(self) -> None:
        self.is_reading = True

    def abort(self) -> None:
        self.closed = True

    def is_closing(self) -> bool:
        return self.closed

    def close(self) -> None:
        self.closed = True
