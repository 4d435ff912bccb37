"""What is fast, measured side by side with the peers in one run; never a timed test.

The servers of others that it needs are started as the tests start them.
"""

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).parent.parent / "tests"))
