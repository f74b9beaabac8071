-- Charges -> the counters that judge them, counted and written.

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
