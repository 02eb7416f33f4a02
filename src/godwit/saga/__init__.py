"""How a story is told and untold: steps with their undo, one point of no return, a durable log.
Knows no VM.
"""
