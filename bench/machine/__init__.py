"""The machine: its description, what disturbs timings on it, and which CPUs a cell gets."""
