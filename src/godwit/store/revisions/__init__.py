"""How the tables came to be what they are, one file per version, in the form that Alembic reads.

Run by `godwit.store.upgrade`. A version that has been released is never edited again.
"""
