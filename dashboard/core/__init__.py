"""Ground floor: pure facts and decisions; no I/O, no clock, no framework."""
