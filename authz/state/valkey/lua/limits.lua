-- The limits that replicas have told of. KEYS: their hash. Replies marks and limits by turns.
return redis.call('HGETALL', KEYS[1])
