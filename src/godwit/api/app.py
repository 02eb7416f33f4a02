"""The HTTP application: which path leads to which resource, and what stands before them all.

Made by `service` with the conductor to ask and the queries to read; knows no hypervisor and takes
no decision about hosts.
"""

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.routing import BaseRoute, Mount, Route

from godwit.api import (
    flavors,
    godwit,
    hypervisors,
    migrations,
    server_migrations,
    servers,
    services,
    timeline,
    versions,
)
from godwit.api.doorway import Doorway
from godwit.api.errors import on_defect, on_godwit_error, on_http_exception
from godwit.api.world import World
from godwit.model.errors import GodwitError
from godwit.rpc.conductor import ComputeTaskApi
from godwit.runtime.clock import Clock
from godwit.runtime.settings import Settings
from godwit.store.queries import Queries


def make_app(
    conductor: ComputeTaskApi, queries: Queries, settings: Settings, clock: Clock
) -> Starlette:
    """The application. Before it stops serving, call `end_long_polls`."""
    app = Starlette(
        routes=[
            Route("/", versions.every_version),
            Route("/v2.1", versions.this_version),
            Mount("/v2.1", routes=compute_routes()),
            Mount("/godwit/v1", routes=godwit_routes()),
        ],
        middleware=[Middleware(Doorway, listen=settings.server.listen)],
        exception_handlers={
            GodwitError: on_godwit_error,
            HTTPException: on_http_exception,
            Exception: on_defect,
        },
    )
    app.router.redirect_slashes = False
    app.state.world = World(conductor, queries, settings, clock)
    return app


def end_long_polls(app: Starlette) -> None:
    """Let every waiting client be answered at once: the server is about to stop."""
    app.state.world.stopping.set()
    app.state.world.queries.news.wake_all()


def compute_routes() -> list[BaseRoute]:
    """OpenStack's part, below `/v2.1`."""
    one_server = "/servers/{server_id}"
    return [
        Route("/", versions.this_version),
        Route("/servers", servers.list_brief, methods=["GET"]),
        Route("/servers", servers.create, methods=["POST"]),
        Route("/servers/detail", servers.list_detail),
        Route(one_server, servers.show, methods=["GET"]),
        Route(one_server, servers.delete, methods=["DELETE"]),
        Route(f"{one_server}/action", servers.act, methods=["POST"]),
        Route(f"{one_server}/migrations", server_migrations.list_all),
        Route(f"{one_server}/migrations/{{migration_id}}", server_migrations.show),
        Route(
            f"{one_server}/migrations/{{migration_id}}",
            server_migrations.abort,
            methods=["DELETE"],
        ),
        Route(
            f"{one_server}/migrations/{{migration_id}}/action",
            server_migrations.act,
            methods=["POST"],
        ),
        Route("/os-migrations", migrations.list_all),
        Route("/os-hypervisors", hypervisors.list_brief),
        Route("/os-hypervisors/detail", hypervisors.list_detail),
        Route("/os-hypervisors/{hypervisor_id}", hypervisors.show),
        Route("/os-services", services.list_all),
        Route("/os-services/enable", services.enable, methods=["PUT"]),
        Route("/os-services/disable", services.disable, methods=["PUT"]),
        Route("/os-services/disable-log-reason", services.disable, methods=["PUT"]),
        Route("/flavors", flavors.list_brief),
        Route("/flavors/detail", flavors.list_detail),
        Route("/flavors/{flavor_id}", flavors.show),
    ]


def godwit_routes() -> list[BaseRoute]:
    """Our own part, below `/godwit/v1`."""
    one_migration = "/migrations/{migration_id}"
    return [
        Route("/servers/{server_id}/check", godwit.check, methods=["POST"]),
        Route("/servers/{server_id}/whereis", godwit.whereis),
        Route("/servers/{server_id}/forget", godwit.forget, methods=["POST"]),
        Route("/migrations", godwit.list_migrations),
        Route(one_migration, godwit.show_migration, methods=["GET"]),
        Route(f"{one_migration}/timeline", timeline.follow),
        Route(f"{one_migration}/abort", godwit.abort, methods=["POST"]),
        Route(one_migration, godwit.steer, methods=["PATCH"]),
        Route(f"{one_migration}/force-complete", godwit.force_complete, methods=["POST"]),
        Route(f"{one_migration}/resolve", godwit.resolve, methods=["POST"]),
        Route("/audit", godwit.look_for_disagreements, methods=["GET"]),
        Route("/audit", godwit.repair, methods=["POST"]),
        Route("/alarms", godwit.list_alarms),
        Route("/debts", godwit.list_debts),
        Route("/hosts", godwit.list_hosts),
        Route("/hosts/{host_name}", godwit.show_host),
        Route("/hosts/{host_name}/confirm-down", godwit.confirm_down, methods=["POST"]),
        Route("/hosts/{host_name}/confirm-up", godwit.confirm_up, methods=["POST"]),
    ]
