ALTER SEQUENCE bookings_id_seq CACHE 10;
