"""The tables of the report, one file per kind."""
