LOCK TABLE orders;
VACUUM orders;
