"""Godwit live-migrates running virtual machines between hypervisor hosts."""
