"""Hosts driven through libvirt: `connection` is the only door to the library, `driver` and
`migration` implement the seam, and everything that decides stands in pure modules beside them.
"""
