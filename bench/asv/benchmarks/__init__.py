"""Benchmarks that asv runs on each commit of a history.

They call the command ``sid-bench`` of the commit that is measured and read what it writes, because commands and files
change less than the code between them. They import nothing of the project. What a commit does not know is skipped.
"""
