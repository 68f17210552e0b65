"""The memory pass: exact bytes by category, the allocator's count, and the prediction of the exact bytes."""
