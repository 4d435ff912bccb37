"""What guests see of the host's processor, where they run on it themselves."""

from __future__ import annotations

import hashlib
from pathlib import Path


def host_processor(file: Path = Path("/proc/cpuinfo")) -> str:
    """The model's name, and a digest of what it can do: two hosts that say the same are alike for their guests."""
    known = dict(line.split(":", 1) for line in file.read_text().splitlines() if ":" in line)
    facts = {name.strip(): value.strip() for name, value in known.items()}
    can = " ".join(sorted(facts.get("flags", "").split()))
    return f"{facts.get('model name', 'unknown')} {hashlib.sha256(can.encode()).hexdigest()[:8]}"
