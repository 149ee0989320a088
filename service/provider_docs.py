"""docs/providers.md, made from the presets.

To make it anew: `python -m service.provider_docs > docs/providers.md`.
"""

import sys
from collections.abc import Iterable, Iterator, Mapping

from service.explaining import bound, method_of, setting_of
from service.preset import Preset, load_presets

KINDS = {
    "support": "Support and tickets",
    "errors": "Errors, alerts and logs",
    "other": "Everything else",
}
HEAD = """\
# Providers

<!-- made by: python -m service.provider_docs > docs/providers.md -->

What to paste at each provider. `{url}` is the source's address,
`https://YOUR-HOST/v1/webhooks/SOURCE`; the secret that the provider shows, or takes, goes into
`hooksift.toml`:

```toml
[sources.SOURCE]
preset = "NAME"
secret = "env:SOME_NAME"
```

"Proves" is what a valid delivery shows to be genuine: the sender, the body, the time, the
delivery's id. Where the body is not proven, whoever can read one delivery can forge others: prefer
https only, and an address list (`allow_addresses`) or client certificates (`client_ca`).

"Compared with" names the provider's own page or code that a preset was compared with, and when.
Where the line is missing, the form is as generally known: look at one real delivery first.
"""


def document(presets: Mapping[str, Preset]) -> str:
    """The whole page."""
    return "\n".join([HEAD, *_sections(presets)]).rstrip() + "\n"


def _sections(presets: Mapping[str, Preset]) -> Iterator[str]:
    for kind, words in KINDS.items():
        chosen = {name: preset for name, preset in presets.items() if preset.kind == kind}
        yield f"## {words}\n"
        yield from _table(chosen.items())
        for name, preset in _sorted(chosen.items()):
            yield from _provider(name, preset)


def _sorted(items: Iterable[tuple[str, Preset]]) -> list[tuple[str, Preset]]:
    return sorted(items, key=lambda item: item[1].title.lower())


def _table(items: Iterable[tuple[str, Preset]]) -> Iterator[str]:
    yield "| provider | preset | proves |\n|---|---|---|"
    for name, preset in _sorted(items):
        yield f"| {_cell(preset.title)} | `{name}` | {bound(preset)} |"
    yield ""


def _provider(name: str, preset: Preset) -> Iterator[str]:
    yield f"### {preset.title}\n"
    yield f"- preset: `{name}`"
    yield f"- signature: {_code(method_of(preset))}"
    yield f"- proves: {bound(preset)}"
    yield f"- provider's page: <{preset.docs}>"
    if preset.checked:
        yield f"- compared with: {preset.checked}"
    yield ""
    yield "```text"
    yield from preset.setup
    yield "```\n"
    if preset.offers:
        yield f"Can also use: {', '.join(f'`{setting_of(offer)}`' for offer in preset.offers)}.\n"
    if preset.notes:
        yield f"{preset.notes}\n"


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def _code(text: str) -> str:
    """Templates stand in a signature's description; their braces and dots are not Markdown."""
    return f"`{text}`" if "{" in text else text


if __name__ == "__main__":
    sys.stdout.write(document(load_presets()))
