"""Records and the results files that hold them."""
