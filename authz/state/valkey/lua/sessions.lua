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
