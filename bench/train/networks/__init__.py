"""The networks that cells train."""
