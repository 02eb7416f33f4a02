"""Wires the rooms into processes, one module per verb; the one place that knows them all.

Ending is the reverse of making: first no new requests, then no new acts, then the connections, the
store last. A transfer process goes on: it is not ours to end.
"""
