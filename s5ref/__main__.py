"""``python -P -m s5ref`` is the command ``s5ref``."""

import sys

from s5ref.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
