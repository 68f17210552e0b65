"""The SID step on one rank, in the ways that it can be run."""
