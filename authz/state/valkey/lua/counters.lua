-- Charges -> the counters that judge them (authz/state/table.py, whose rules these are), each read once and written
-- only where it has changed. Sets `now`; what is written first is what a server without memory refuses, so nothing is
-- half done.
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

-- Milliseconds that a key is kept whose content counts until `due`.
local function lasts(due)
  return string.format('%.0f', math.min(math.max(math.ceil((due - now) * 1000), 0) + SLACK, LONGEST))
end

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
