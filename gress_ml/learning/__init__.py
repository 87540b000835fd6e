"""Online learners: river's estimators, asked and taught row by row, as functions of the log.

Reading order: ``definition`` (YAML to river), ``task``, ``learner``, ``scores``, ``structure`` (a
learner as bytes), ``build``. River takes more than a second to import, so this package imports
nothing by itself: who needs a part of it imports that part, late.
"""
