"""`make bench`: what the control plane itself costs. A real `godwit serve` on simulated hosts."""
