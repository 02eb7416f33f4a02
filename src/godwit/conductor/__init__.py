"""Tell the story: answers for the API and the hosts, and carries every migration to its end."""
