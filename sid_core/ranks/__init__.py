"""The SID step over several ranks."""
