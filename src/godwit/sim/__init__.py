"""The whole program in one process, in virtual time, for tests and simulation."""
