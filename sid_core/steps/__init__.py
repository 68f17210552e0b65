"""The SID step on one rank: as published, streamed and vectorised, and what these share."""
