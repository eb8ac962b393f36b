COMMENT ON EVENT TRIGGER watch IS 'tells who changed the schema';
