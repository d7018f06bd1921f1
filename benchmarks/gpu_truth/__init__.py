"""Everything that a GPU is needed for, in one call of less than ten minutes: ``python -m benchmarks.gpu_truth --output FOLDER``.

``design`` lists what is measured, most important first; ``worker`` is the process that measures (``step``, ``agreement``, ``faults``,
``ceilings``), and a fresh one takes over where it dies; ``__main__`` keeps the time and writes each result as a line of JSON when it
comes; ``table`` turns lines into rows of the estimator's error table.
"""
