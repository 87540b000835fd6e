"""Fuzzing: odd input for every door of gress-ml, and the laws that must hold behind it.

Reading order: ``target`` (what a fuzzer is), ``bytes_mutation`` and ``json_mutation`` (how odd
input is made), ``campaign`` (the loop), then one file per target in ``targets``.
"""
