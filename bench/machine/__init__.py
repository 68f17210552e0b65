"""The machine: what it is, what disturbs timings on it, and which CPUs a cell gets."""
