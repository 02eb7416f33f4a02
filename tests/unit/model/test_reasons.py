from string import Formatter

import pytest

from godwit.model.ids import HostName
from godwit.model.reasons import CATALOGUE, Code, reason


def fields_of(code: Code) -> set[str]:
    entry = CATALOGUE[code]
    texts = f"{entry.words}{entry.remedy}"
    return {name for _, name, _, _ in Formatter().parse(texts) if name}


@pytest.mark.parametrize("code", Code)
def test_a_reason_is_a_sentence_with_its_fields_filled_in_and_a_remedy(code: Code) -> None:
    fields = dict.fromkeys(fields_of(code) - {"host"}, 7)
    made = reason(code, host=HostName("host-b"), **fields)
    assert made.code is code
    assert made.words
    assert made.remedy
    assert "{" not in made.words + made.remedy
    assert "None" not in made.words


def test_a_missing_field_is_a_defect_not_a_half_sentence() -> None:
    with pytest.raises(KeyError, match="server"):
        reason(Code.SERVER_UNKNOWN)


@pytest.mark.parametrize("code", Code)
def test_a_code_is_a_lower_case_word_with_hyphens(code: Code) -> None:
    assert code.value == code.name.lower().replace("_", "-")


def test_equal_reasons_count_once() -> None:
    one, same = (reason(Code.SERVER_UNKNOWN, server="x") for _ in range(2))
    assert {one, same, reason(Code.SERVER_UNKNOWN, server="y")} == {
        one,
        reason(Code.SERVER_UNKNOWN, server="y"),
    }
