-- What was charged before -> the same given back, as if it had not been.

-- A counter named by where it is kept, for what is given back.
local function at_home(ref)
  local c = loaded[ref.key .. '\0' .. ref.field]
  if c then return c end
  local text
  if ref.field == '' then text = redis.call('GET', ref.key) else text = redis.call('HGET', ref.key, ref.field) end
  if not text then return nil end
  c = open(ref.key, ref.field, text, ref, 1)
  if ref.field ~= '' then
    local family = families[ref.key]
    if not family then
      family = {key = ref.key, members = {}, gone = {}, fields = {}, added = 0}
      families[ref.key] = family
    end
    c.family, c.there = family, true
    family.members[ref.field] = c
  end
  return c
end

-- A charge as it was counted, to be given back: its ident, cost, time and counters.
local function reference(ident, cost, counters)
  local parts = {pack('<c12ddB', ident, cost, now, #counters)}
  for _, c in ipairs(counters) do
    parts[#parts + 1] = pack('<BdddBc0Bc0', c.algorithm, c.most, c.max, c.window, #c.key, c.key, #c.field, c.field)
  end
  return table.concat(parts)
end

-- Gives back what `text` refers to. `found` are the counters that the same charges have now: one that was not there
-- then took over what the counter shared until then had counted, and so the charge (authz/state/filing.py).
local given = {}

local function give_back(text, found)
  local at = 1
  while at <= #text do
    local ident, cost, when, many
    ident, cost, when, many, at = unpack('<c12ddB', text, at)
    given[ident] = (given[ident] or 0) + cost
    local counters, there, gone = {}, {}, false
    for place = 1, many do
      local ref = {}
      ref.algorithm, ref.most, ref.max, ref.window, ref.key, ref.field, at = unpack('<BdddBc0Bc0', text, at)
      local c = at_home(ref)
      if c and (place > 1 or c.kind.live(c)) then
        counters[#counters + 1] = c
        there[c] = true
      elseif place == 1 then
        gone = true -- and with it all that it counted
      end
    end
    if not gone then
      for _, c in ipairs(found[ident] or {}) do
        if not there[c] then counters[#counters + 1] = c end
      end
      for _, c in ipairs(counters) do
        c.kind.back(c, when, cost, now)
        c.touched = true
      end
    end
  end
end

-- Forgets what was given back and not written: `owed` are the counters as they were, with the refusals found meanwhile.
local function afresh(owed)
  loaded, order, families, chosen = {}, {}, {}, {}
  for at, before in ipairs(owed) do
    local found = find(before.of)
    for place, c in ipairs(found) do c.wait = before[place] and before[place].wait or -1 end
    owed[at] = found
  end
end
