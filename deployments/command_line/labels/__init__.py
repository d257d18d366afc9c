"""``spherovem labels``: corrections of labels by hand, one module a command."""
