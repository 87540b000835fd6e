"""``gress`` that asks for the next records as soon as it can, for ``benchmarks.prefetch``."""

from __future__ import annotations

from gress_ml.cli.main import main
from gress_ml.engine.prefetch import Prefetch


async def _at_once(_: Prefetch) -> None:
    pass


if __name__ == "__main__":
    Prefetch.ready = _at_once  # type: ignore[method-assign] # as it was before decision 0015
    main()
