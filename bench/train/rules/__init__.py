"""The training rules that need code of their own."""
