-- A replica is there. ARGV: time or -1, the replica, how many seconds it counts. KEYS: the replicas and when each was
-- seen, the limits by their mark. Further ARGV: for how many seconds the
-- limits are known, then marks and limits by turns. Replies how many replicas were seen and limits are known.
local now = tonumber(ARGV[1])
if now < 0 then
  local time = redis.call('TIME')
  now = tonumber(time[1]) + tonumber(time[2]) / 1e6
end
local lasts = tonumber(ARGV[3])
redis.call('ZADD', KEYS[1], string.format('%.17g', now), ARGV[2])
redis.call('PEXPIRE', KEYS[1], string.format('%.0f', lasts * 2000))
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', string.format('%.17g', now - lasts))
if #ARGV > 4 then redis.call('HSET', KEYS[2], unpack(ARGV, 5)) end
local wanted = math.ceil(tonumber(ARGV[4]) * 1000)
if redis.call('PTTL', KEYS[2]) < wanted then redis.call('PEXPIRE', KEYS[2], string.format('%.0f', wanted)) end
return {redis.call('ZCARD', KEYS[1]), redis.call('HLEN', KEYS[2])}
