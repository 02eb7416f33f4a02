"""The lab: real libvirt hosts with real guests on one box, for the demo, the tests and anyone
trying Godwit.

`sandbox` makes the one killable process everything lives under, `keeper` is PID 1 inside it, `lab`
and `host` are the objects to hold, `guest` starts the tiny guests and `heartbeat` says where they
ran. Nothing here needs the libvirt binding or the server.
"""
