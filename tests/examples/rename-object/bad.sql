ALTER TABLE scores RENAME TO results;
