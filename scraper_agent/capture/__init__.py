"""Browsers: the real one, driven by Playwright, and one that replays recorded pages."""
