"""asv's benchmarks: the same cells, steps and meters as the sweep's, followed over the project's history."""
