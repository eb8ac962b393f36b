"""One file per family of rules; each rule is data and a pure function."""
