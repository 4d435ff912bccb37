"""What is fast, measured side by side with the peers in one run; never a timed test."""
