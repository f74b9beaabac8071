-- One counter, or the sessions of one caller, for people. ARGV: time or -1, algorithm, window, max. KEYS: the counter.
-- Replies field (empty where it has none), what is used, in how many seconds it is empty, and who, for each in use.
clock(tonumber(ARGV[1]))
local of = {algorithm = tonumber(ARGV[2]), window = tonumber(ARGV[3]), max = tonumber(ARGV[4]), most = 0, who = ''}
local reply = {}
local function tell(field, text, times, who)
  local c = open(KEYS[1], field, text, of, times)
  local used = c.kind.used(c, now)
  if used > 0 then
    local told = {field, number(used), number(c.kind.reset(c, now)), who or c.who}
    for _, value in ipairs(told) do reply[#reply + 1] = value end
  end
end
if redis.call('TYPE', KEYS[1]).ok == 'hash' then
  local all, who = redis.call('HGETALL', KEYS[1]), redis.call('HGET', KEYS[1], 'w') or ''
  for at = 1, #all, 2 do
    if all[at] ~= 'w' then tell(all[at], all[at + 1], all[at] == 'c' and tonumber(ARGV[5]) or 1, who) end
  end
else
  local text = redis.call('GET', KEYS[1])
  if text then tell('', text, 1) end
end
return reply
