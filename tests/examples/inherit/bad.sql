ALTER TABLE orders INHERIT drafts;
