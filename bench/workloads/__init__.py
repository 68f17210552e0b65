"""What is trained, and on what: networks, data sets, label noise."""
