"""`/v2.1/os-services`: each host's compute service; letting it take guests, or not."""

from starlette.requests import Request
from starlette.responses import Response

from godwit.api.answers import answer
from godwit.api.lookups import host_or_404
from godwit.api.schemas import ServiceBody
from godwit.api.validation import Query, asked_by, read_body
from godwit.api.views import service
from godwit.api.world import world_of
from godwit.model.ids import HostName
from godwit.rpc.conductor import SetHostEnabled


async def list_all(request: Request) -> Response:
    """`GET /os-services`, of one host or binary if asked."""
    query = Query(request)
    host_wanted, binary = query.text("host"), query.text("binary")
    query.nothing_else()
    here = world_of(request)
    hosts = sorted(await here.queries.hosts(), key=lambda host: host.name)
    shown = [
        service(host, up=here.is_up(host))
        for host in hosts
        if host_wanted in (None, host.name) and binary in (None, "nova-compute")
    ]
    return answer({"services": shown})


async def enable(request: Request) -> Response:
    """`PUT /os-services/enable`."""
    return await _set(request, enabled=True)


async def disable(request: Request) -> Response:
    """`PUT /os-services/disable` and `disable-log-reason`."""
    return await _set(request, enabled=False)


async def _set(request: Request, *, enabled: bool) -> Response:
    body = await read_body(request, ServiceBody)
    ask = SetHostEnabled(
        asked=asked_by(request, body.disabled_reason),
        host=HostName(body.host),
        enabled=enabled,
    )
    here = world_of(request)
    await here.conductor.set_host_enabled(ask)
    host = await host_or_404(here.queries, body.host)
    return answer({"service": service(host, up=here.is_up(host))})
