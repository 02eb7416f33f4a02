"""One file per version of the tables. Each says what it changes, for both databases."""
