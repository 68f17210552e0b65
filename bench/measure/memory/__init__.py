"""The memory pass: exact bytes by category, the allocator's view, and the prediction of both."""
