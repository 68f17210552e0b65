"""Peers of SID and BP: local and other rules from other papers, one file each.

A file offers ``ROWS``; the registry finds it by itself. Its rule is the file of the same name in
``bench/train/rules/peers``.
"""
