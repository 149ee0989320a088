"""What a body is and says: formats, the presets' expressions, and the text that people read."""
