VACUUM (FULL) users;
