"""The records as the page holds them: columns, compressed, of which the script makes tables, panels and files."""
