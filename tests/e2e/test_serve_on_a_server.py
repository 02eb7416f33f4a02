"""`godwit serve` with its database on a real PostgreSQL server."""

import signal

from tests.e2e.conftest import MakeGodwit
from tests.e2e.serving import START_LIMIT_S, simulated_hosts, until
from tests.postgres_server import PostgresServer

SECRET = "a word that nobody says"


def test_serve_moves_guests_with_its_record_on_a_server_and_follows_a_killed_one(
    make_godwit: MakeGodwit, postgres: PostgresServer
) -> None:
    database = postgres.database()
    godwit = make_godwit(simulated_hosts(transfer_s=0.5))
    password = godwit.folder / "password"
    password.write_text(SECRET)
    store = f'[store]\nurl = "{database.url}"\npassword_file = "{password}"\n'
    config = f"{godwit.config.read_text()}{store}[migration]\nlease_s = 3.0\n"
    godwit.config.write_text(config)

    refused = godwit.typed("serve", "--config", str(godwit.config))
    assert refused.returncode == 1
    assert "godwit db upgrade" in refused.stderr
    assert godwit.typed("db", "upgrade", "--config", str(godwit.config)).returncode == 0

    godwit.start()
    moved = godwit.typed("migrate", "host-a-guest-1", "--to", "host-b")
    assert moved.returncode == 0, moved.stdout + moved.stderr
    begun = godwit.typed("migrate", "host-a-guest-2", "--to", "host-b", "--no-wait")
    assert begun.returncode == 0, begun.stdout + begun.stderr
    godwit.end(signal.SIGKILL)

    godwit.start()

    def all_ended() -> bool:
        moves = godwit.get("/godwit/v1/migrations")["migrations"]
        assert len(moves) == 2
        return {move["status"] for move in moves} <= {"completed", "failed"}

    until("the story of the killed one to be told", all_ended, timeout_s=START_LIMIT_S)
    assert godwit.end() == 0
    assert SECRET not in godwit.log()
