"""The targets, by name: one file per door."""

from collections.abc import Mapping

from fuzz.target import Target
from fuzz.targets.batches import Batches
from fuzz.targets.bundles import Bundles
from fuzz.targets.cases import Cases
from fuzz.targets.events import Outcomes, Transfers
from fuzz.targets.expressions import Expressions
from fuzz.targets.graphs import Graphs
from fuzz.targets.http import Http
from fuzz.targets.snapshots import Snapshots
from fuzz.targets.states import States
from fuzz.targets.switches import Switches
from fuzz.targets.topologies import Topologies

TARGETS: Mapping[str, type[Target]] = {
    target.name: target
    for target in (
        Transfers,
        Outcomes,
        Batches,
        Topologies,
        Expressions,
        Bundles,
        Graphs,
        Snapshots,
        States,
        Switches,
        Cases,
        Http,
    )
}
