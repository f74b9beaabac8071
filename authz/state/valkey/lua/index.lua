-- The index where it is in another slot than what it lists. ARGV: time or -1, what to do, then what that needs.
-- KEYS: the index. `keep`: ids, places, ends and whether anonymous by fours; replies until when there is no room, -1
-- and all are kept. `drop`: ids that were kept for nothing. `end`: an id and when its grant ends (0: it is none).
-- `claim`: how many calls were served, and ids of grants that are used up. `change`: one more. `changes`: how many.
clock(tonumber(ARGV[1]))
use_index(1)
advance()
local what = ARGV[2]
if what == 'keep' then
  local anonymous, longest = 0, huge
  for at = 3, #ARGV, 4 do
    if ARGV[at + 3] == '1' then anonymous = anonymous + 1 end
    longest = math.min(longest, tonumber(ARGV[at + 2]))
  end
  local blocked = full_for((#ARGV - 2) / 4, anonymous, longest)
  if blocked < 0 then
    for at = 3, #ARGV, 4 do keep(ARGV[at], ARGV[at + 1], now + tonumber(ARGV[at + 2]), ARGV[at + 3] == '1') end
    trim()
  end
  return number(blocked)
end
if what == 'drop' then
  for at = 3, #ARGV do
    redis.call('ZREM', index.pending, ARGV[at])
    redis.call('ZREM', index.anonymous, ARGV[at])
    redis.call('ZREM', index.filed, ARGV[at])
    redis.call('HDEL', index.where, ARGV[at])
  end
elseif what == 'end' then
  local due = tonumber(ARGV[4])
  ended(ARGV[3], now, due > 0 and due or nil)
elseif what == 'claim' then
  for at = 4, #ARGV do redis.call('ZREM', index.granted, ARGV[at]) end
  changed(tonumber(ARGV[3]))
elseif what == 'change' then
  changed(1)
end
local count = redis.call('GET', index.changes)
if not count then
  changed(1)
  count = redis.call('GET', index.changes)
end
return tonumber(count)
