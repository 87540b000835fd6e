"""From a YAML file to a checked graph: enter at ``load``, leave with a ``topology.Topology``."""
