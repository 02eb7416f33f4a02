"""Which reason codes a module can give, by its source: so that a table of cases can be held to all
of them.
"""

import inspect
import re
from types import ModuleType

from godwit.model.reasons import Code


def codes_said_by(*modules: ModuleType) -> set[Code]:
    """Every code that these modules name."""
    sources = "\n".join(inspect.getsource(module) for module in modules)
    return {Code[name] for name in re.findall(r"\bCode\.([A-Z_]+)\b", sources)}
