CREATE TABLE old_scores () INHERITS (scores);
