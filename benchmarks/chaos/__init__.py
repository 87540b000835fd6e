"""Chaos: workers and the broker are killed while events flow; a verifier counts what went wrong.

Reading order: ``scenario`` (what is done to whom), ``plan`` (when, from a seed), ``load`` (the
events), ``fleet`` (the workers), ``storm`` (all together), ``verify`` (the judge), ``report``.
"""
