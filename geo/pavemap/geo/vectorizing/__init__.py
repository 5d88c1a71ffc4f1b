"""From crack probability to lines with width, one window at a time."""
