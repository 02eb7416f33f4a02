"""What a hypervisor can do, behind one protocol. Only compute (and the simulator) imports this
room.
"""
