-- An attempt without requests for approval: every charge fits and all are counted, or none is.
-- ARGV: head (time or -1, flags, seconds that a repeat is known), then a charge each. KEYS: of the repeat where flag 2
-- is set, then those of each charge. Replies the time, whether it was paid, and what each charge's counters have left,
-- in how many seconds they are empty and how long they refuse (-1: they do not); with flag 4 also where each
-- charge was counted. With flag 8 the last of ARGV was charged when requests were filed and is given back first.
local PEEK, REPEAT, REFERENCES, GIVE_BACK = 1, 2, 4, 8
local given, flags, repeat_window = unpack('<dBd', ARGV[1])
local peek, place_of = flags % 2 == PEEK, 1
clock(given)
if flags % 4 >= REPEAT then
  recall(KEYS[1])
  place_of = 2
end
local owed, paid, left = {}, {}, {}
for ident, cost in pairs(known or {}) do left[ident] = cost end
local filed = flags >= GIVE_BACK and ARGV[#ARGV]
local found_by = {}
for at = 2, filed and #ARGV - 1 or #ARGV do
  local of
  of, place_of = decode(ARGV[at], place_of)
  local cost = of.cost
  if repeat_key then
    paid[of.ident] = (paid[of.ident] or 0) + cost
    cost = cost - covered(left, of.ident, cost)
  end
  local found = find(of)
  for _, c in ipairs(found) do c.owed = c.owed + cost end
  found.cost, found.of = cost, of
  owed[at - 1] = found
  found_by[of.ident] = found
end
if filed then give_back(filed, found_by) end
local fits = true
for _, c in ipairs(order) do
  c.wait = -1
  if c.owed > 0 and c.kind.used(c, now) + c.owed > c.most then
    c.wait = c.kind.wait(c, now, c.owed)
    fits = false
  end
end
local charged = false
if fits and not peek then
  for _, c in ipairs(order) do
    if c.owed > 0 then
      charge(c, c.owed)
      charged = true
    end
  end
elseif filed then
  afresh(owed)
end
write()
if charged and repeat_key then remember(paid, {}, repeat_window) end
local reply = {pack('<dB', now, fits and 1 or 0)}
for _, found in ipairs(owed) do
  reply[#reply + 1] = pack('<B', #found)
  for _, c in ipairs(found) do
    reply[#reply + 1] = pack('<ddd', c.most - c.kind.used(c, now), c.kind.reset(c, now), c.wait)
  end
end
local text = table.concat(reply)
if flags % 8 < REFERENCES then return text end
local replies = {text}
for at, found in ipairs(owed) do
  replies[at + 1] = charged and found.cost > 0 and reference(found.of.ident, found.cost, found) or ''
end
return replies
