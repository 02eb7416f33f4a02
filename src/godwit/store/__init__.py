"""What survives a crash. Only the conductor (and the simulator) opens this room; the API reads
`queries`.
"""
