"""A sweep over the ranks of a job that ``torchrun`` or ``srun`` has started: one command ``sid-bench run`` per rank.

Data flows from ``place`` (which rank this command is) through ``gathering`` (the commands find each other) to
``leader`` on rank 0, which runs the sweep, and ``follower`` on the others. For each process of a cell, rank 0 sends a
call to all commands; each runs its own rank of it (``own_rank``), in a process of its own fork server, and sends the
answer back.
"""
