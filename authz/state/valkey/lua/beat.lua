-- A replica is there. ARGV: time or -1, the replica, how many seconds it counts, for how many the limits are known,
-- then marks and limits by turns. KEYS: the replicas and when each was seen, the limits by their mark. Replies how many
-- replicas were seen and limits are known.
clock(tonumber(ARGV[1]))
local counts = tonumber(ARGV[3])
redis.call('ZADD', KEYS[1], number(now), ARGV[2])
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', number(now - counts))
outlive(KEYS[1], now + counts)
if #ARGV > 4 then redis.call('HSET', KEYS[2], unpack_list(ARGV, 5)) end
outlive(KEYS[2], now + tonumber(ARGV[4]))
return {redis.call('ZCARD', KEYS[1]), redis.call('HLEN', KEYS[2])}
