"""`python -m godwit.lab ...`: the same verbs as `godwit lab ...`; how a command enters a background
lab.
"""

from __future__ import annotations

from godwit.lab.cli import lab

if __name__ == "__main__":
    lab(prog_name="godwit lab")
