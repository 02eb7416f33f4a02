"""`make demo`: the main job, on real guests and real hosts, with a kill -9 in the middle."""
