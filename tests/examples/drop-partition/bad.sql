-- rung: allow drop-table because "the year is archived"
DROP TABLE events_2025;
