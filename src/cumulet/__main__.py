"""The command `cumulet`."""

from __future__ import annotations


def main() -> None:
    """Run the command line and end the process with its exit status."""
    from cumulet.cli import cumulet

    cumulet(prog_name="cumulet")


if __name__ == "__main__":
    main()
