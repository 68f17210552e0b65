"""What is trained and how: steps, rules, networks, data sets, label noise, ranks."""
