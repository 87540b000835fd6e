"""The shell: one place that has the event loop, performs actions and reports results.

Reading order: ``partition`` (one partition), ``effects`` (what leaves), ``calls`` (operators with
deadlines), ``engine`` (all partitions), ``worker`` (the Faust app around it), ``http``.
"""
