"""The trainer against its peers: equal weights, equal batches, one machine, one run.

``python -m benchmarks.trainer`` prepares a case (``case``), runs each subject in a process of its own, in turn (``__main__``):
a plain PyTorch loop in the manner of nanoGPT (``plain_loop``), Hugging Face's Trainer (``hugging_face``) and ours (``ours``), each
observed from outside by the same clock (``observed``). ``summary`` makes the figures and ``page`` writes docs/performance.md.
"""
