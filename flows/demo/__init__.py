"""`ratchet demo`: the whole loop on a shipped handbook, through the flows that production runs."""
