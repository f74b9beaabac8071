-- Where the newest requests are kept: ARGV: time or -1, how many (0: the one of the id that is next), and `pending`
-- where only those that wait are meant. KEYS: the index. Replies ids and places by turns, the newest first.
clock(tonumber(ARGV[1]))
use_index(1)
advance()
if tonumber(ARGV[2]) == 0 then
  local where = redis.call('HGET', index.where, ARGV[3])
  return where and {ARGV[3], where} or {}
end
local most = tonumber(ARGV[2])
local ids = {}
if ARGV[3] == 'pending' then
  local waiting = {}
  for _, id in ipairs(redis.call('ZRANGE', index.pending, 0, -1)) do waiting[id] = true end
  for _, id in ipairs(redis.call('ZREVRANGE', index.filed, 0, -1)) do
    if waiting[id] and #ids < most then ids[#ids + 1] = id end
  end
else
  ids = redis.call('ZREVRANGE', index.filed, 0, most - 1)
end
local reply = {}
for at = 1, #ids do
  reply[2 * at - 1] = ids[at]
  reply[2 * at] = redis.call('HGET', index.where, ids[at]) or ''
end
return reply
