"""The client verbs: ask over HTTP like any other client. Imports nothing of the server."""
