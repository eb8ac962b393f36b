SELECT nextval('bookings_id_seq');
