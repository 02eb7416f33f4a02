"""Answers people: the OpenStack-shaped Compute API by resource, and our own /godwit extension."""
