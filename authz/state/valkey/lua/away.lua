-- Whoever takes what filing a request charged in other slots may give it back there, and nobody else. ARGV: the id,
-- what is left to be taken. KEYS: the hash of the request's digest. Replies what there was to take.
local id, away = unpack(redis.call('HMGET', KEYS[1], 'id', 'away'))
if id ~= ARGV[1] then return '' end
redis.call('HSET', KEYS[1], 'away', ARGV[2])
return away or ''
