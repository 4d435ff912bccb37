"""Every life that is tried with crashes, stale runners and a bad bus."""

from __future__ import annotations

from crash import image_lives, lives, moving_lives, volume_lives

LIVES = [*lives.LIVES, *volume_lives.LIVES, *moving_lives.LIVES, *image_lives.LIVES]
