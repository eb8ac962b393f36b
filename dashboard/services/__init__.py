"""Second floor: the verbs, each a short recipe."""
