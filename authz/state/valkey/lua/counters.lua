-- Charges -> the counters that judge them (authz/state/table.py, whose rules these are), each read once and written only
-- where it has changed. Sets `now`; what is written first is what a server without memory refuses, so nothing is half done.
local KINDS = {sliding, fixed, bucket}
local SLACK = 1000 -- milliseconds that a key outlives what it counts
local LONGEST = 1e15
local now
local loaded, order, families, chosen = {}, {}, {}, {}

local function clock(given)
  if given >= 0 then
    now = given
  else
    local time = redis.call('TIME')
    now = tonumber(time[1]) + tonumber(time[2]) / 1e6
  end
end

-- A number that is read as exactly itself.
local function number(x) return string.format('%.17g', x) end

local function lasts(due) return string.format('%.0f', math.min(math.max(math.ceil((due - now) * 1000), 0) + SLACK, LONGEST)) end

-- What makes a counter: kind, window, how many calls it takes, how many come back a second, whoever it is counted for.
local function open(key, field, text, of, times)
  local c = {
    kind = KINDS[of.algorithm], algorithm = of.algorithm, window = of.window, max = of.max * times,
    most = of.most * times, key = key, field = field, who = of.who, owed = 0, born = not text,
  }
  c.kind.read(c, text or nil, now)
  loaded[key .. '\0' .. field] = c
  order[#order + 1] = c
  return c
end

local function live(c) return c.standing or c.kind.live(c) end

-- Judged by the limit as it is now: `most` and `max` may have changed. `times` is what its sessions have together.
local function adopt(c, of, times)
  c.most, c.max = of.most * times, of.max * times
  return c
end

local function single(key, of)
  local c = loaded[key .. '\0']
  if c then return adopt(c, of, 1) end
  return open(key, '', redis.call('GET', key), of, 1)
end

-- Whether this caller has no place left at this limit for another value of its own choosing.
local function crowded(of)
  local values = chosen[of.values_key]
  if not values then
    values = {key = of.values_key, n = redis.call('ZCOUNT', of.values_key, '(' .. number(now), '+inf'), due = 0}
    chosen[of.values_key] = values
  end
  return values.n >= of.values
end

-- A counter that begins takes over what the caller used while it had none.
local function begin(c, of, shared)
  if of.values > 0 then
    local values = chosen[of.values_key]
    values.n = values.n + 1
    c.values, c.ident = values, of.ident
  end
  c.standing = true
  c.kind.inherit(c, shared, now)
end

local function common(of)
  return single(of.shared_key, of)
end

local function own(of)
  local c = single(of.key, of)
  if of.values == 0 then return {c} end
  if live(c) then
    if not c.values then
      crowded(of)
      c.values, c.ident = chosen[of.values_key], of.ident
    end
    return {c}
  end
  if crowded(of) then return {common(of)} end
  begin(c, of, common(of))
  return {c}
end

-- The sessions of one caller: one hash, with the counter of all together (c), the one of sessions that have none of
-- their own (s), and each session's by its name.
local function place(family, field, of, times, text)
  local c = family.members[field]
  if c then return c end
  if text == nil then
    if family.complete and field:sub(1, 1) == '+' then return nil end -- its place was given up in this very attempt
    text = redis.call('HGET', family.key, field)
  end
  if not text and not times then return nil end
  c = open(family.key, field, text, of, times or 1)
  c.family, c.there = family, text and true or false
  family.members[field] = c
  return c
end

-- Lets go of sessions whose window is empty; whether every place is still taken.
local function full(family, of)
  if not family.size then family.size = redis.call('HLEN', family.key) end
  if not family.complete then
    -- The cap and who it is (w) are no session's.
    local others = (family.cap.there and 1 or 0) + (family.size > 0 and 1 or 0)
    if family.size + family.added - others < of.sessions then return false end
  end
  if not family.complete then
    family.complete = true
    local all = redis.call('HGETALL', family.key)
    for at = 1, #all, 2 do
      if all[at]:sub(1, 1) == '+' then place(family, all[at], of, 1, all[at + 1]) end
    end
  end
  local taken = 0
  for field, member in pairs(family.members) do
    if field:sub(1, 1) == '+' then
      if live(member) then
        taken = taken + 1
      else
        family.members[field] = nil
        if member.there then family.gone[#family.gone + 1] = field end
        loaded[family.key .. '\0' .. field] = nil
      end
    end
  end
  return taken >= of.sessions
end

local function session(of)
  local family = families[of.key]
  if not family then
    family = {key = of.key, members = {}, gone = {}, fields = {}, added = 0, who = of.who}
    families[of.key] = family
    local got = redis.call('HMGET', of.key, 'c', of.session)
    family.cap = place(family, 'c', of, of.sessions, got[1])
    if got[2] then place(family, of.session, of, 1, got[2]) end
    if not live(family.cap) then
      if of.values > 0 then
        if crowded(of) then
          family.elsewhere = true
        else
          local shared = common(of)
          begin(family.cap, of, shared)
          if live(shared) then shared.kind.inherit(place(family, 's', of, 1), shared, now) end
        end
      end
    elseif of.values > 0 then
      crowded(of)
      family.cap.values, family.cap.ident = chosen[of.values_key], of.ident
    end
  end
  if family.elsewhere then return {common(of)} end
  adopt(family.cap, of, of.sessions)
  local member = place(family, of.session, of)
  if not (member and live(member)) then
    local shared = place(family, 's', of)
    if not member then
      if full(family, of) then
        return {adopt(place(family, 's', of, 1), of, 1), family.cap}
      end
      member = place(family, of.session, of, 1, false)
      family.added = family.added + 1
    end
    member.standing = true
    if shared then member.kind.inherit(member, shared, now) end
  end
  return {adopt(member, of, 1), family.cap}
end

-- A charge as authz/state/valkey/charges.py writes it; its keys are KEYS[at] and, where values are bounded, two more.
local function decode(text, at)
  local of, rest = {}, nil
  of.algorithm, of.shape, of.cost, of.most, of.max, of.window, of.sessions, of.values, of.ident, of.session, rest =
    unpack('<BBddddHI4c12Bc0', text)
  of.who, of.key = text:sub(rest), KEYS[at]
  if of.values > 0 then
    of.values_key, of.shared_key = KEYS[at + 1], KEYS[at + 2]
    return of, at + 3
  end
  return of, at + 1
end

local function find(of)
  if of.shape == 1 then return session(of) end
  return own(of)
end

local function charge(c, cost)
  c.kind.add(c, now, cost)
  c.touched = true
end

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

-- Gives back what `text` refers to. `found` are the counters that the same charges have now: one that was not there then
-- took over what the counter shared until then had counted, and so the charge (authz/state/filing.py).
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

local function write_one(c)
  if c.family then
    local fields = c.family.fields
    fields[#fields + 1] = c.field
    fields[#fields + 1] = c.kind.dump(c)
  else
    redis.call('SET', c.key, c.kind.dump(c) .. c.who, 'PX', lasts(c.due))
  end
  if c.values then
    redis.call('ZADD', c.values.key, number(c.due), c.ident)
    c.values.due = math.max(c.values.due, c.due)
  end
end

local function outlive(key, due)
  local wanted = lasts(due)
  -- GT takes a key that has no end for one that lasts longer than any.
  if redis.call('PEXPIRE', key, wanted, 'GT') == 0 and redis.call('PTTL', key) == -1 then
    redis.call('PEXPIRE', key, wanted)
  end
end

local function write()
  for _, c in ipairs(order) do
    if c.touched and c.kind.live(c) then write_one(c) end
    if c.touched and c.family then c.family.touched = true end
  end
  for key, family in pairs(families) do
    if #family.fields > 0 then
      if family.cap and family.cap.born then
        family.fields[#family.fields + 1] = 'w'
        family.fields[#family.fields + 1] = family.who
      end
      redis.call('HSET', key, unpack_list(family.fields))
    end
  end
  for _, c in ipairs(order) do
    if c.touched and not c.kind.live(c) then
      if c.family then c.family.gone[#c.family.gone + 1] = c.field else redis.call('DEL', c.key) end
    end
  end
  for key, family in pairs(families) do
    if family.touched then
      local gone = {}
      for _, field in ipairs(family.gone) do
        local member = family.members[field]
        if not (member and member.kind.live(member)) then gone[#gone + 1] = field end
      end
      if #gone > 0 then redis.call('HDEL', key, unpack_list(gone)) end
      local due = now
      for _, member in pairs(family.members) do
        if member.kind.live(member) then due = math.max(due, member.due) end
      end
      outlive(key, due)
    end
  end
  for key, values in pairs(chosen) do
    if values.due > 0 then
      redis.call('ZREMRANGEBYSCORE', key, '-inf', number(now))
      outlive(key, values.due)
    end
  end
end
