ALTER INDEX users_age RENAME TO users_by_age;
