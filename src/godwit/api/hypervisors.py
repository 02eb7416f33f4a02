"""`/v2.1/os-hypervisors`: the hosts, as Nova's clients know them."""

from collections import Counter
from collections.abc import Sequence

from starlette.requests import Request
from starlette.responses import Response

from godwit.api.answers import answer
from godwit.api.lookups import host_or_404
from godwit.api.validation import Query
from godwit.api.views import hypervisor_brief, hypervisor_detail, number_of
from godwit.api.world import World, world_of
from godwit.model.host import Host, Usage


async def list_brief(request: Request) -> Response:
    """`GET /os-hypervisors`."""
    Query(request).nothing_else()
    here = world_of(request)
    hosts = _by_name(await here.queries.hosts())
    return answer({"hypervisors": [hypervisor_brief(host, up=here.is_up(host)) for host in hosts]})


async def list_detail(request: Request) -> Response:
    """`GET /os-hypervisors/detail`."""
    Query(request).nothing_else()
    here = world_of(request)
    return answer({"hypervisors": await _details(here, await here.queries.hosts())})


async def show(request: Request) -> Response:
    """`GET /os-hypervisors/{id}`: by number, or by the host's name."""
    here = world_of(request)
    named = request.path_params["hypervisor_id"]
    hosts = await here.queries.hosts()
    found = [host for host in hosts if named in (host.name, str(number_of(host)))]
    if not found:
        found = [await host_or_404(here.queries, named)]
    return answer({"hypervisor": (await _details(here, found))[0]})


async def _details(here: World, hosts: Sequence[Host]) -> list[dict[str, object]]:
    usage = await here.queries.usage()
    servers = Counter(server.host for server in await here.queries.instances())
    return [
        hypervisor_detail(
            host, usage.get(host.name, Usage()), servers[host.name], up=here.is_up(host)
        )
        for host in _by_name(hosts)
    ]


def _by_name(hosts: Sequence[Host]) -> list[Host]:
    return sorted(hosts, key=lambda host: host.name)
