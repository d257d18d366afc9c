"""Entry points of spherovem: settings, command line, watched folders, Prefect server and viewers."""
