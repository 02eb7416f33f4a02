"""What one process may ask of another: the promises (`compute`, `conductor`) and their carriers."""
