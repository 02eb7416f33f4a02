"""Commands for those who work on Godwit; not part of what is installed."""
