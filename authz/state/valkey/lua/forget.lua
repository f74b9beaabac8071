-- Deletes a key of counters. KEYS: it. Replies how many counters it had; of the sessions of one caller each is one.
local many = 1
if redis.call('TYPE', KEYS[1]).ok == 'hash' then
  many = redis.call('HLEN', KEYS[1]) - redis.call('HEXISTS', KEYS[1], 'w')
end
return redis.call('UNLINK', KEYS[1]) * many
