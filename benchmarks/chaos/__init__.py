"""Chaos: troubles befall workers and servers while events flow; a judge counts what went wrong.

Reading order: ``scenarios`` (the table), ``troubles`` (what can befall whom), ``plan`` (when, from
a seed), ``lane`` (a topology under a guarantee), ``load`` (the events), ``fleet`` (the workers),
``storm`` (all together), ``judge`` and ``stalls`` (what went wrong), ``report``.
"""
