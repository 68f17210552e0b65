"""What is published of the reference records: their pages, README's sentences and tables, and the findings."""
