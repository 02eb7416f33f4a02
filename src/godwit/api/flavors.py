"""`/v2.1/flavors`: the sizes of the settings file, read only."""

from starlette.requests import Request
from starlette.responses import Response

from godwit.api.answers import answer, link
from godwit.api.validation import Query
from godwit.api.views import flavor_brief, flavor_detail
from godwit.api.world import world_of
from godwit.model.errors import NotFound
from godwit.model.reasons import Code, reason


async def list_brief(request: Request) -> Response:
    """`GET /flavors`."""
    Query(request).nothing_else("is_public", "limit")
    flavors = world_of(request).settings.flavors
    return answer({"flavors": [flavor_brief(name, link(request, "")) for name in sorted(flavors)]})


async def list_detail(request: Request) -> Response:
    """`GET /flavors/detail`."""
    Query(request).nothing_else("is_public", "limit")
    base = link(request, "")
    flavors = sorted(world_of(request).settings.flavors.items())
    return answer({"flavors": [flavor_detail(name, flavor, base) for name, flavor in flavors]})


async def show(request: Request) -> Response:
    """`GET /flavors/{id}`; a flavor's name is its id."""
    name = request.path_params["flavor_id"]
    flavor = world_of(request).settings.flavors.get(name)
    if flavor is None:
        raise NotFound(reason(Code.FLAVOR_UNKNOWN, flavor=name))
    return answer({"flavor": flavor_detail(name, flavor, link(request, ""))})
