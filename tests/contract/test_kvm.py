"""The probe of an accelerator believes a guest that ran, and nothing else."""

from __future__ import annotations

from cumulet.lib.kvm import seconds_of_guest


def test_a_guest_that_runs_is_seen() -> None:
    assert seconds_of_guest("tcg") is not None


def test_a_qemu_that_cannot_use_the_accelerator_is_no_guest() -> None:
    """As it is with a /dev/kvm that this user may not open."""
    assert seconds_of_guest("imaginary") is None
