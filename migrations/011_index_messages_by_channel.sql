-- The chat is busy all day: build the index without locking writers out
CREATE INDEX CONCURRENTLY IF NOT EXISTS idx_messages_channel_sent
ON messages(channel_id, sent_at DESC);
