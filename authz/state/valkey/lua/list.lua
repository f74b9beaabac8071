-- Where the newest requests are kept: ARGV: time or -1, how many (0: the one of the id that is next). KEYS: the index.
-- Replies ids and places by turns.
clock(tonumber(ARGV[1]))
use_index(1)
advance()
if tonumber(ARGV[2]) == 0 then
  local where = redis.call('HGET', index.where, ARGV[3])
  return where and {ARGV[3], where} or {}
end
local ids = redis.call('ZREVRANGE', index.filed, 0, tonumber(ARGV[2]) - 1)
local reply = {}
for at = 1, #ids do
  reply[2 * at - 1] = ids[at]
  reply[2 * at] = redis.call('HGET', index.where, ids[at]) or ''
end
return reply
