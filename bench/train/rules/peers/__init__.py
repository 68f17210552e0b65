"""Rules of other papers, one file each. The rows in ``bench/config/methods/peers`` name them."""
