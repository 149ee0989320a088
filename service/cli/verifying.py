"""`hooksift verify`: judge recorded deliveries without a receiver."""

import json
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from service.cli.sending import read_bytes
from service.receiving.assembly import ServiceSettings

JUDGEMENT = ("id", "valid", "reason", "event_id", "event_type")


def register(app: typer.Typer, load_settings: Callable[[], ServiceSettings]) -> None:
    """Add `verify`."""

    @app.command()
    def verify(
        preset: Annotated[str, typer.Argument(help="What to verify as; see hooksift presets")] = "",
        secret: Annotated[
            list[str] | None,
            typer.Option(help="The secret, or env:NAME or file:PATH; repeat it for several"),
        ] = None,
        headers: Annotated[
            Path | None, typer.Option(help="File of headers: JSON, or lines 'Name: value'")
        ] = None,
        body: Annotated[Path | None, typer.Option(help="File of the body's exact bytes")] = None,
        method: Annotated[str, typer.Option(help="The request's method")] = "POST",
        url: Annotated[str, typer.Option(help="The full URL that the provider called")] = "",
        at: Annotated[
            float | None, typer.Option(help="When it arrived, in seconds since 1970; now if none")
        ] = None,
        extra: Annotated[
            Path | None,
            typer.Option(
                help="JSON file with what a receiver would fetch: jwk, cert_pem, audience"
            ),
        ] = None,
        vectors: Annotated[
            Path | None, typer.Option(help="JSON list of recorded deliveries; a JSON line out each")
        ] = None,
    ) -> None:
        """Say whether a recorded delivery is genuine.

        Exit code 0, the delivery's id and its type when it is; 1 and the reason when it is not.
        """
        moment = time.time() if at is None else at
        if vectors is not None:
            judge_vectors(vectors, moment)
            return
        if not preset or headers is None or body is None:
            raise typer.BadParameter("give PRESET, --headers FILE and --body FILE; or --vectors")
        record = {"headers": read_headers(headers), "method": method, "url": url, "now": moment}
        judged = judge_one(
            load_settings, preset, secret or [], {**record, "extra": read_extra(extra)}, body
        )
        if not judged["valid"]:
            typer.echo(f"not valid: {judged['reason']}: {judged.get('message', '')}")
            raise typer.Exit(1)
        typer.echo(f"valid\nid    {judged['event_id'] or '-'}\ntype  {judged['event_type'] or '-'}")


def judge_one(
    load_settings: Callable[[], ServiceSettings],
    name: str,
    secrets: list[str],
    record: Mapping[str, Any],
    body: Path,
) -> dict[str, Any]:
    """The judgement of one delivery, under a preset of ours or of the config."""
    from service.preset import PresetError, load_preset
    from service.receiving.assembly import known_presets
    from service.secrets import resolve
    from service.verification.vectors import judge, request_of

    try:
        preset = load_preset(name)
    except PresetError as error:
        preset = known_presets(load_settings()).get(name)  # type: ignore[assignment]
        if preset is None:
            raise typer.BadParameter(str(error)) from error
    request = request_of(record)
    request.body = read_bytes(body)
    resolved = [resolve(reference) for reference in secrets]
    return judge(preset, resolved, request, record["now"], record)


def judge_vectors(path: Path, now: float) -> None:
    """Print the judgement of each recorded delivery as a line of JSON."""
    from service.verification.recorded import RecordingError, vectors_of
    from service.verification.vectors import verify_vector

    try:
        vectors = vectors_of(read_bytes(path).decode("utf-8", "replace"))
    except RecordingError as error:
        raise typer.BadParameter(f"{path}: {error}") from error
    for number, vector in enumerate(vectors, 1):
        try:
            judged = verify_vector({"provider": "", "now": now, **vector})
        except RecordingError as error:
            name = vector.get("id", number)
            raise typer.BadParameter(f"{path}: vector {name!r}: {error}") from error
        typer.echo(json.dumps({key: judged.get(key) for key in JUDGEMENT}))


def read_headers(path: Path) -> list[tuple[str, str]]:
    """A file of headers. Raises typer.BadParameter."""
    from service.verification.recorded import RecordingError, headers_of

    raw = read_bytes(path)
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError:
        text = raw.decode("latin-1")
    try:
        return headers_of(text)
    except RecordingError as error:
        raise typer.BadParameter(f"{path}: {error}") from error


def read_extra(path: Path | None) -> dict[str, Any]:
    """A JSON object of a file, {} where none is given. Raises typer.BadParameter."""
    if path is None:
        return {}
    try:
        data = json.loads(read_bytes(path))
    except ValueError as error:
        raise typer.BadParameter(f"{path}: not JSON: {error}") from error
    if not isinstance(data, dict):
        raise typer.BadParameter(f"{path}: expected a JSON object")
    return data
