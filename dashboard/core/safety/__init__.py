"""What a migration would destroy or hide, read from its parse tree."""
