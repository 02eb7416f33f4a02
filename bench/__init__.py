"""`make bench`: what the control plane costs, and how Godwit compares to virsh on real hosts."""
