"""Records, and the results files that store them."""
