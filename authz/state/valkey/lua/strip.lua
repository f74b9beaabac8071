-- A limit's counters were forgotten, so there is nothing to take back of what filing a request charged them. ARGV: the
-- limit's mark. KEYS: the hash of a digest. Replies 1 where there was something.
local charged, away = unpack(redis.call('HMGET', KEYS[1], 'charged', 'away'))
local kept, at = {}, 1
while charged and at <= #charged do
  local from, counters, named = at, nil, false
  counters, at = struct.unpack('<B', charged, at + 28)
  for _ = 1, counters do
    local key
    key, at = struct.unpack('<Bc0', charged, at + 25)
    local skipped = struct.unpack('<B', charged, at)
    at = at + 1 + skipped
    named = named or key:find(ARGV[1], 1, true) ~= nil
  end
  if not named then kept[#kept + 1] = charged:sub(from, at - 1) end
end
local left = table.concat(kept)
local lost = away and away:find(ARGV[1], 1, true)
if lost then redis.call('HSET', KEYS[1], 'away', '') end
if charged and left ~= charged then redis.call('HSET', KEYS[1], 'charged', left) end
return (lost or (charged and left ~= charged)) and 1 or 0
