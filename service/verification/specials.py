"""Senders whose signing no record describes."""

from typing import Any

from service.preset import Preset, PresetError


def sign_specially(preset: Preset, secret: str, draft: Any) -> Any:  # noqa: ARG001
    """Raises until the special senders are there."""
    raise PresetError(f"preset {preset.name}: cannot sign yet")
