SELECT setval('bookings_id_seq', 1);
