from godwit.conductor.tasks.pivot import CARRY_OUT, ask_a_person
from godwit.conductor.tasks.whereabouts import PERSON, Verdict


def test_every_verdict_is_carried_out() -> None:
    assert set(CARRY_OUT) == set(Verdict)


def test_every_verdict_that_needs_a_person_asks_one() -> None:
    asking = {verdict for verdict, act in CARRY_OUT.items() if act is ask_a_person}
    assert asking == set(PERSON)
