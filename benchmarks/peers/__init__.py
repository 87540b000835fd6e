"""Peers: the same work on other stream libraries, each as its own documentation advises.

Reading order: ``environment`` (where they are installed), then two files for each library: event
by event as its documentation begins, and in batches by hand as far as its documentation allows it.
What is decided is the same code for all: ``benchmarks.decide`` and ``benchmarks.decide_one``.
"""
