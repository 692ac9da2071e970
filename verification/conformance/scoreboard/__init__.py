"""What came of checks, kept by implementation and commit: `s5ref check --record`, `s5ref scoreboard`."""
