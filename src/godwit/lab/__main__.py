"""`python -m godwit.lab ...`: the same verbs as `godwit lab ...`; how a command enters a background
lab.
"""

from __future__ import annotations

import importlib
import signal


def main() -> None:
    """Run the verb. Ctrl-C before the verbs are loaded ends this as it ends any program."""
    heeds_ctrl_c = signal.getsignal(signal.SIGINT) is signal.default_int_handler
    if heeds_ctrl_c:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    cli = importlib.import_module("godwit.lab.cli")
    if heeds_ctrl_c:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    cli.lab(prog_name="godwit lab")


if __name__ == "__main__":
    main()
