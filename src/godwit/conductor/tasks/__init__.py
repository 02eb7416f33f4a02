"""The live migration itself: its story, its checks, and what decides where a guest is."""
