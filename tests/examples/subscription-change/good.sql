COMMENT ON SUBSCRIPTION everything IS 'from the shop';
