"""What may be typed after an option, where click's own types let in too much."""

import math
from typing import Any, Final

import click

REASON_MAX: Final = 500


class _Reason(click.ParamType[str]):
    name = "text"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """The text, refused where the server would refuse it."""
        text = str(value)
        if len(text) > REASON_MAX:
            self.fail(f"it has {len(text)} characters, {REASON_MAX} are allowed", param, ctx)
        return text


class _Name(click.ParamType[str]):
    name = "name"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """What names something: a variable of a script that is not set does not."""
        text = str(value)
        if not text.strip():
            self.fail("it is empty", param, ctx)
        return text


class _Seconds(click.FloatRange):
    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        """A duration that ends."""
        seconds = float(super().convert(value, param, ctx))
        if not math.isfinite(seconds):
            self.fail(f"{value} is no number of seconds", param, ctx)
        return seconds


REASON: Final = _Reason()
"""Why something is asked for."""
NAME: Final = _Name()
SECONDS: Final = _Seconds(0)
