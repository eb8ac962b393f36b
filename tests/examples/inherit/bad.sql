ALTER TABLE drafts INHERIT scores;
