"""A traced step as a breakdown of its bytes, as a memory snapshot, and as a Chrome trace."""
