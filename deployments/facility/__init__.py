"""A whole facility on one workstation: server, watcher and workers as one tree of processes."""
