"""How flows are started: command line, settings, watcher and deployments."""
