"""The sections of the page: each file turns the inputs into the content of one template in ``templates/sections``."""
