"""The rules of the house that a machine can check. Each failure says what to do."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from statistics import median

import pytest
from tools.docs import DOCS, DRAWN, page

from godwit.conductor.manager import ComputeTaskManager
from godwit.conductor.tasks.live_migrate import LIVE_MIGRATION
from godwit.model.check_catalogue import CHECKS
from godwit.model.reasons import CATALOGUE, Code
from godwit.rpc.compute import ComputeRpc
from godwit.rpc.conductor import ComputeTaskApi
from godwit.rpc.contract import calls_of
from godwit.saga.step import NothingToUndo

ROOT = Path(__file__).resolve().parent.parent
SOURCE = ROOT / "src" / "godwit"
TESTS = ROOT / "tests"
MODULES = sorted(SOURCE.rglob("*.py"))
BANNED_NAMES = {"utils", "util", "common", "helpers", "helper", "misc", "base", "core"}
TOLD_OF = ("demo", "demo-cluster", "test", "sim")
"""What a stranger can type at once: the README says so."""
NEVER_ASKED = {
    "startDirtyRateCalc": "in its dirty-bitmap mode it kills QEMU 7.2 under emulation",
    "compareCPU": "it asks of the physical CPU: compareHypervisorCPU asks of what would run it",
    "baselineHypervisorCPU": "it fails between libvirt versions that know different features",
    "getFreeMemory": "it leaves out what the host could free: getMemoryStats tells all",
}
MODULE_LINES_MAX = 400
FUNCTION_LINES_MAX = 60
MANAGER_METHOD_LINES_MAX = 12
SAGA_CODE_LINES_MAX = 700
"""`docs/decisions/0002-saga-engine.md` promises it."""


def name_of(path: Path) -> str:
    return str(path.relative_to(SOURCE))


def functions_of(path: Path) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node


def body_lines(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Lines of the body, the docstring not counted."""
    first = function.body[0]
    if isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant):
        if len(function.body) == 1:
            return 0
        first = function.body[1]
    return (function.end_lineno or 0) - first.lineno + 1


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_a_module_stays_under_400_lines_and_is_named_after_what_it_holds(path: Path) -> None:
    lines = path.read_text().count("\n")
    assert lines <= MODULE_LINES_MAX, f"{lines} lines: split it by meaning"
    assert path.stem not in BANNED_NAMES, "name the module after the noun it holds"


def code_lines(path: Path) -> int:
    """Lines that are neither blank nor comment nor docstring."""
    text = path.read_text()
    told = {
        number
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
        for number in range(node.lineno, (node.end_lineno or node.lineno) + 1)
    }
    lines = ((number, line.strip()) for number, line in enumerate(text.splitlines(), 1))
    return sum(bool(line) and line[0] != "#" and number not in told for number, line in lines)


def test_the_saga_engine_stays_as_small_as_its_page_says() -> None:
    lines = sum(map(code_lines, (SOURCE / "saga").glob("*.py")))
    assert lines < SAGA_CODE_LINES_MAX, f"{lines} lines of code: what does not belong to any story?"


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_a_function_stays_under_60_lines(path: Path) -> None:
    long = {
        function.name: body_lines(function)
        for function in functions_of(path)
        if body_lines(function) > FUNCTION_LINES_MAX
    }
    assert not long, "keep the branching in one function and the leaves straight"


def test_the_median_module_is_under_200_lines() -> None:
    assert median(path.read_text().count("\n") for path in MODULES) < 200


@pytest.mark.parametrize("room", ["compute", "conductor"])
def test_a_managers_method_delegates_within_12_lines(room: str) -> None:
    long = {
        function.name: body_lines(function)
        for function in functions_of(SOURCE / room / "manager.py")
        if body_lines(function) > MANAGER_METHOD_LINES_MAX
    }
    assert not long, "a manager is an index of answers: move the work to a module beside it"


def imported_names() -> set[str]:
    """Every dotted name that some module imports, or names as a string to be imported later."""
    names: set[str] = set()
    for path in MODULES:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom) and node.module:
                names |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
            elif isinstance(node, ast.Import):
                names |= {alias.name for alias in node.names}
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                names.add(node.value)
    return names


def test_every_module_is_imported_by_someone() -> None:
    modules = {
        ".".join(("godwit", *path.relative_to(SOURCE).with_suffix("").parts))
        for path in MODULES
        if path.stem not in {"__init__", "__main__"}
    }
    modules = {name for name in modules if not name.startswith("godwit.store.revisions.")}
    for_tests = {"godwit.lab.heartbeat", "godwit.lab.linux_guest", "godwit.lab.deaths"}
    assert modules - imported_names() <= for_tests, "delete what nobody uses"


@pytest.mark.parametrize("protocol", [ComputeRpc, ComputeTaskApi])
def test_every_remote_call_has_a_time_out_and_a_word_on_repetition(protocol: type) -> None:
    calls = calls_of(protocol)
    assert calls
    for call in calls.values():
        assert call.remote.timeout_s > 0, call.name
        assert call.remote.repeat, call.name


def test_the_conductor_answers_every_call_it_promises() -> None:
    assert all(hasattr(ComputeTaskManager, name) for name in calls_of(ComputeTaskApi))


@pytest.mark.parametrize("step", LIVE_MIGRATION.before, ids=lambda step: step.name)
def test_every_step_has_an_undo_or_says_why_it_needs_none(step: object) -> None:
    undo = getattr(step, "undo", None)
    assert callable(undo) or (isinstance(undo, NothingToUndo) and undo.why)


def test_every_reason_code_is_in_the_catalogue_and_used() -> None:
    assert set(CATALOGUE) == set(Code)
    told = {"codes.py", "catalogue.py", "check_catalogue.py"}
    sources = "\n".join(path.read_text() for path in MODULES if path.name not in told)
    unused = [code.name for code in Code if f"Code.{code.name}" not in sources]
    assert not unused, "a code that nothing says is not a promise: remove it"


def test_every_reason_against_a_move_is_produced_by_a_test() -> None:
    tests = "\n".join(path.read_text() for path in TESTS.rglob("*.py") if path != Path(__file__))
    untried = [c.name for c in CHECKS if f"Code.{c.name}" not in tests and f'"{c}"' not in tests]
    assert not untried, "a refusal that no test produces may never come"


@pytest.mark.parametrize(("call", "why"), NEVER_ASKED.items())
def test_libvirt_is_never_asked_what_harms_or_misleads(call: str, why: str) -> None:
    asking = [name_of(path) for path in MODULES if f".{call}(" in path.read_text()]
    assert not asking, why


@pytest.mark.parametrize("name", DRAWN)
def test_a_page_drawn_from_code_is_up_to_date(name: str) -> None:
    assert (DOCS / name).read_text() == page(name), "run `make docs`"


@pytest.mark.parametrize("page", ["README.md", "CONTRIBUTING.md", "CHANGELOG.md"])
def test_every_make_target_that_a_page_names_exists(page: str) -> None:
    targets = re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
    named = re.findall(r"(?:`| {4})make ([a-z-]+)", (ROOT / page).read_text())
    assert set(named) <= set(targets)
    assert page != "README.md" or set(named) >= set(TOLD_OF)
