"""Which host? A question (`RequestSpec`) and the hosts' states in, ordered hosts and one reason per
refused host out. Pure; asked by the conductor.
"""
