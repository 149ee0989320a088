"""hooksift verify: genuine or not, why, and what it is."""

import base64
import json
from pathlib import Path
from typing import Any

import pytest

from service.preset import preset_names
from service.signing.sign import Outgoing
from tests.deliveries import NOW, scene
from tests.service.command_line import CommandLine


@pytest.fixture
def command(tmp_path: Path) -> CommandLine:
    line = CommandLine(tmp_path)
    line.configure()
    return line


def written(folder: Path, outgoing: Outgoing, headers: str | None = None) -> list[object]:
    """The arguments that name the delivery's files."""
    (folder / "body").write_bytes(outgoing.body)
    (folder / "headers").write_text(headers or json.dumps(dict(outgoing.headers)))
    return ["--headers", folder / "headers", "--body", folder / "body", "--url", outgoing.url]


def arguments(folder: Path, name: str = "github", **more: Any) -> list[object]:
    """The arguments of a genuine delivery of a preset."""
    made = scene(name)
    files = written(folder, made.outgoing(), **more)
    return ["verify", name, "--secret", made.keys.receiver, *files, "--at", NOW]


def test_a_genuine_delivery_ends_in_zero_with_its_id_and_type(
    command: CommandLine, tmp_path: Path
) -> None:
    printed = command.run(*arguments(tmp_path), code=0)
    assert printed.split() == ["valid", "id", "d-1", "type", "issues.opened"]


def test_a_wrong_secret_ends_in_one_with_the_reason(command: CommandLine, tmp_path: Path) -> None:
    printed = command.run(*arguments(tmp_path)[:3], "other", *arguments(tmp_path)[4:], code=1)
    assert printed.startswith("not valid: signature_mismatch")


def test_any_of_several_secrets_may_match(command: CommandLine, tmp_path: Path) -> None:
    command.run(*arguments(tmp_path), "--secret", "retired", code=0)


def test_a_secret_may_be_a_reference(
    command: CommandLine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = arguments(tmp_path)
    monkeypatch.setenv("THE_SECRET", str(made[3]))
    command.run(*made[:3], "env:THE_SECRET", *made[4:], code=0)


def test_a_stale_delivery_is_judged_at_the_moment_given(
    command: CommandLine, tmp_path: Path
) -> None:
    made = arguments(tmp_path, "stripe")
    printed = command.run(*made[:-1], NOW + 301, code=1)
    assert "timestamp_out_of_tolerance" in printed


@pytest.mark.parametrize(
    "form",
    [
        lambda headers: json.dumps([list(pair) for pair in headers]),
        lambda headers: json.dumps([{"name": n, "value": v} for n, v in headers]),
        lambda headers: "\n".join(f"{n}: {v}" for n, v in headers),
        lambda headers: "POST /hook HTTP/1.1\r\n" + "\r\n".join(f"{n}: {v}" for n, v in headers),
    ],
    ids=["pairs", "names and values", "lines", "a whole head"],
)
def test_headers_are_read_in_every_form(command: CommandLine, tmp_path: Path, form: Any) -> None:
    made = scene("github")
    files = written(tmp_path, made.outgoing(), form(made.outgoing().headers))
    command.run("verify", "github", "--secret", made.keys.receiver, *files, "--at", NOW, code=0)


def test_a_preset_of_the_config_is_known(command: CommandLine, tmp_path: Path) -> None:
    command.configure(
        '[presets.mine]\nextends = "github"\ntitle = "Mine"\n'
        '[presets.mine.verify]\nfrom = "header:X-Mine"\n'
    )
    made = scene("github")
    headers = {
        ("X-Mine" if n == "X-Hub-Signature-256" else n): v for n, v in made.outgoing().headers
    }
    files = written(tmp_path, made.outgoing(), json.dumps(headers))
    command.run("verify", "mine", "--secret", made.keys.receiver, *files, code=0)


@pytest.mark.parametrize(
    "wrong", [["verify"], ["verify", "github"], ["verify", "--vectors", "/no/such/file"]]
)
def test_a_slip_in_the_arguments_is_not_a_verdict(command: CommandLine, wrong: list[str]) -> None:
    command.run(*wrong, code=2)


def test_an_unknown_preset_is_not_a_verdict(command: CommandLine, tmp_path: Path) -> None:
    made = arguments(tmp_path)
    command.run("verify", "nobody", *made[2:], code=2)


def vector(name: str, **changes: Any) -> dict[str, Any]:
    """A recorded delivery of a preset, genuine unless changed."""
    made = scene(name)
    outgoing = made.outgoing()
    return {
        "id": name,
        "provider": name,
        "secret": [made.keys.receiver],
        "method": outgoing.method,
        "url": outgoing.url,
        "headers": dict(outgoing.headers),
        "body_base64": base64.b64encode(outgoing.body).decode(),
        "now": NOW,
        **changes,
    }


def judged(command: CommandLine, folder: Path, *vectors: Any) -> list[dict[str, Any]]:
    (folder / "vectors.json").write_text(json.dumps(vectors))
    printed = command.run("verify", "--vectors", folder / "vectors.json", code=0)
    return [json.loads(line) for line in printed.splitlines()]


def test_vectors_give_a_line_each(command: CommandLine, tmp_path: Path) -> None:
    assert judged(command, tmp_path, vector("github"), vector("stripe", secret="whsec_no")) == [
        {
            "id": "github",
            "valid": True,
            "reason": None,
            "event_id": "d-1",
            "event_type": "issues.opened",
        },
        {
            "id": "stripe",
            "valid": False,
            "reason": "signature_mismatch",
            "event_id": judged(command, tmp_path, vector("stripe"))[0]["event_id"],
            "event_type": "charge.failed",
        },
    ]


def test_a_vector_that_names_no_preset_is_not_valid(command: CommandLine, tmp_path: Path) -> None:
    assert judged(command, tmp_path, {"id": 7})[0]["reason"] == "unknown_preset"


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"now": "soon"}, "now is 'soon'"),
        ({"now": None}, "now is None"),
        ({"headers": [["X-Hub-Signature-256"]]}, "[name, value]"),
        ({"headers": 7}, "headers"),
        ({"body_base64": "abcde"}, "body_base64 is not base64"),
    ],
)
def test_a_vector_that_cannot_be_read_is_named_with_what_is_wrong(
    command: CommandLine, tmp_path: Path, change: dict[str, Any], words: str
) -> None:
    (tmp_path / "vectors.json").write_text(json.dumps([vector("github", **change)]))
    printed = command.run("verify", "--vectors", tmp_path / "vectors.json", code=2)
    told = " ".join(printed.replace("\u2502", "").split())
    assert "vector 'github'" in told
    assert words in told


def test_a_broken_certificate_is_a_secret_that_cannot_be_used(
    command: CommandLine, tmp_path: Path
) -> None:
    broken = vector("aws_sns", extra={"cert_pem": "-----BEGIN CERTIFICATE-----"})
    assert judged(command, tmp_path, broken)[0]["reason"] == "bad_secret"


def test_presets_lists_every_preset(command: CommandLine) -> None:
    printed = command.run("presets")
    assert [name for name in preset_names() if f"{name} " not in printed] == []


def test_presets_tells_what_a_valid_delivery_proves(command: CommandLine) -> None:
    line = next(li for li in command.run("presets").splitlines() if li.startswith("gitlab_token "))
    assert line.split()[-1] == "sender"


@pytest.mark.parametrize("name", preset_names())
def test_every_preset_can_be_explained(command: CommandLine, name: str) -> None:
    assert "provider's page" in command.run("presets", "show", name)


def test_an_explanation_gives_the_url_to_paste(command: CommandLine) -> None:
    command.configure(
        '[receive]\npublic_url = "https://hooks.acme.example"\n'
        '[sources.tickets]\npreset = "zendesk"\nsecret = "x"\n'
    )
    printed = "".join(command.run("presets", "show", "zendesk").split())
    assert "https://hooks.acme.example/v1/webhooks/tickets" in printed
