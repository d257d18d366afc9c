"""The command line as a module: ``python -P -m deployments.command_line``."""

import sys

from deployments.command_line.main import main

if __name__ == "__main__":
    sys.exit(main())
