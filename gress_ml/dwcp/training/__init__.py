"""Training of the selector: measured transfers in, a judged model bundle out.

Reading order: ``table`` (messages to a matrix, by the serving code) and ``split`` (parts that share
nothing), ``trees`` and ``network`` (the two models and their exports), ``calibration`` and
``ensemble`` (both together), ``search`` and ``pareto`` (settings and size), ``train`` (all of it);
then ``scores``, ``intervals`` and ``evaluation``, ``robustness`` and ``ablations``, ``latency``,
``gates``, ``finish``, and ``report``.
"""
