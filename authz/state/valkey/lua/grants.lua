-- Requests for approval, by the digest of what is asked for (authz/state/ledger.py, whose rules these are). The hash of
-- a digest has the request that counts for it: its id, `state`, the entries of `by` that are satisfied, what people
-- said (JSON, a line each), what filing it charged and what that charged in other slots; and, as `old:ID`, what became
-- of those before it.
local PENDING, GRANTED, DENIED, USED, EXPIRED = 'P', 'G', 'D', 'U', 'E'
local HISTORY = 24 * 3600
local STATE = '<c1dddddIIB'
local KEPT = 16 -- earlier requests of one digest that are still shown
local MOST_TRIMMED = 100 -- in one call: more than one can add
local PENDING_OF_ONE, PENDING_OF_ALL, PENDING_OF_ANONYMOUS, ENDED_OF_ALL = 20, 1000, 200, 1000 -- authz/state/ledger.py
local grants, index = {}, nil

local function read_state(text)
  local s = {}
  s.status, s.filed, s.due, s.ended, s.retired, s.remember, s.uses, s.used, s.entries = unpack(STATE, text)
  return s
end

local function dump_state(s)
  return pack(STATE, s.status, s.filed, s.due, s.ended, s.retired, s.remember, s.uses, s.used, s.entries)
end

-- The clock went back: what began later than now begins now, so that nothing lasts longer than it was to.
local function begun(g)
  local s = g.state
  local begins = s.status == GRANTED and s.remember > 0 and 'ended' or 'filed'
  local back = s[begins] - now
  if back <= 0 then return end
  s[begins], s.due = now, s.due - back
  redis.call('HSET', g.key, 'state', dump_state(s))
end

local function grant(key)
  local g = grants[key]
  if g then return g end
  local got = redis.call('HMGET', key, 'id', 'state', 'satisfied', 'said', 'charged', 'away')
  g = {key = key, id = got[1] or nil, needs = 0}
  if g.id then
    g.state = read_state(got[2])
    g.satisfied, g.said, g.charged, g.away = got[3] or '', got[4] or '', got[5] or '', got[6] or ''
    begun(g)
  end
  grants[key] = g
  return g
end

-- The state of `id`, which has this digest, and what was said of it; nil where it is not known any more.
local function remembered(g, id)
  if g.id == id then return g.state, g.said end
  local text = redis.call('HGET', g.key, 'old:' .. id)
  if not text then return nil end
  local state = read_state(text)
  return state, text:sub(#dump_state(state) + 1)
end

-- How it stands; nil where nothing of it counts any more.
local function standing(g)
  if not g.id or g.state.due <= now or g.state.status == USED then return nil end
  return g.state.status
end

local function shown(s)
  if (s.status == PENDING or s.status == GRANTED) and s.due <= now then return EXPIRED end
  return s.status
end

local function until_forgotten(s)
  if s.status == DENIED then return math.max(s.ended + HISTORY, s.due) end
  if s.status == USED then return s.retired + HISTORY end
  return s.due + HISTORY
end

local function serves(g, calls)
  return standing(g) == GRANTED and (g.state.uses == 0 or g.state.used + calls <= g.state.uses)
end

-- The index of all requests, for people: those that wait, those of anonymous callers among them, live grants, those
-- that have ended, where each is kept, how many changes there were, and when each was filed. It may be in another slot,
-- then it is nil. `alone`: all keys are on one server, so that a record goes with its place in the index.
local function use_index(at, alone)
  index = {
    alone = alone,
    pending = KEYS[at], anonymous = KEYS[at + 1], granted = KEYS[at + 2], ended = KEYS[at + 3], where = KEYS[at + 4],
    changes = KEYS[at + 5], filed = KEYS[at + 6],
  }
end

-- Counts from the time on, so that it grows even where it was lost.
local function changed(times)
  local value = redis.call('INCRBY', index.changes, times)
  if value <= times then redis.call('SET', index.changes, string.format('%.0f', now * 1000)) end
  outlive(index.changes, now + 2 * HISTORY)
end

local function advance()
  local lapsed = 0
  local over = redis.call('ZRANGEBYSCORE', index.pending, '-inf', number(now), 'WITHSCORES')
  for at = 1, #over, 2 do
    redis.call('ZREM', index.pending, over[at])
    redis.call('ZREM', index.anonymous, over[at])
    redis.call('ZADD', index.ended, over[at + 1], over[at])
    lapsed = lapsed + 1
  end
  if #over > 0 then outlive(index.ended, now + HISTORY) end
  -- A server without memory lets a script write that has deleted something before: only if there is something.
  if redis.call('ZCOUNT', index.granted, '-inf', number(now)) > 0 then
    lapsed = lapsed + redis.call('ZREMRANGEBYSCORE', index.granted, '-inf', number(now))
  end
  if lapsed > 0 then changed(lapsed) end
end

local function keep(id, where, due, anonymous)
  redis.call('ZADD', index.pending, number(due), id)
  outlive(index.pending, due + HISTORY)
  if anonymous then
    redis.call('ZADD', index.anonymous, number(due), id)
    outlive(index.anonymous, due + HISTORY)
  end
  redis.call('HSET', index.where, id, where)
  redis.call('ZADD', index.filed, number(now), id)
  outlive(index.where, due + HISTORY)
  outlive(index.filed, due + HISTORY)
  changed(1)
end

-- Of those that have ended ENDED_OF_ALL are shown: the oldest go first, up to MOST_TRIMMED at once.
local function trim()
  local old = redis.call('ZRANGEBYSCORE', index.ended, '-inf', number(now - HISTORY - 1), 'LIMIT', 0, MOST_TRIMMED)
  local many = redis.call('ZCARD', index.ended) - ENDED_OF_ALL
  if many > #old then old = redis.call('ZRANGE', index.ended, 0, math.min(many, MOST_TRIMMED) - 1) end
  for _, id in ipairs(old) do
    local where = index.alone and redis.call('HGET', index.where, id)
    -- As record_key (authz/state/valkey/requests.py) has it.
    if where then redis.call('UNLINK', index.where:match('^[^{]*{') .. where:sub(1, 4) .. '}d' .. id) end
    redis.call('ZREM', index.ended, id)
    redis.call('HDEL', index.where, id)
    redis.call('ZREM', index.filed, id)
  end
end

local function ended(id, at, grant_due)
  redis.call('ZREM', index.pending, id)
  redis.call('ZREM', index.anonymous, id)
  redis.call('ZADD', index.ended, number(at), id)
  outlive(index.ended, math.max(at, grant_due or 0) + HISTORY)
  if grant_due then
    redis.call('ZADD', index.granted, number(grant_due), id)
    outlive(index.granted, grant_due + HISTORY)
  end
  outlive(index.where, math.max(at, grant_due or 0) + HISTORY)
  outlive(index.filed, math.max(at, grant_due or 0) + HISTORY)
  trim()
  changed(1)
end

-- Seconds until the first of those that wait in `key` expires; `longest` where none does.
local function first(key, longest)
  local got = redis.call('ZRANGEBYSCORE', key, '(' .. number(now), '+inf', 'WITHSCORES', 'LIMIT', 0, 1)
  return got[2] and until_(tonumber(got[2]), now) or longest
end

local function waiting(key) return redis.call('ZCOUNT', key, '(' .. number(now), '+inf') end

-- Seconds until there is room for so many more, -1 where there is.
local function full_for(all, anonymous, longest)
  if anonymous > 0 and waiting(index.anonymous) + anonymous > PENDING_OF_ANONYMOUS then
    return first(index.anonymous, longest)
  end
  if waiting(index.pending) + all > PENDING_OF_ALL then return first(index.pending, longest) end
  return -1
end

local function save(g, due)
  redis.call(
    'HSET', g.key, 'id', g.id, 'state', dump_state(g.state), 'satisfied', g.satisfied, 'said', g.said,
    'charged', g.charged, 'away', g.away
  )
  outlive(g.key, due)
end

local function file(g, request, charged)
  if g.id then
    redis.call('HSET', g.key, 'old:' .. g.id, dump_state(g.state) .. g.said)
    local fields = redis.call('HKEYS', g.key)
    if #fields > 6 + KEPT then
      local oldest, at = nil, huge
      for _, field in ipairs(fields) do
        if field:sub(1, 4) == 'old:' then
          local filed = read_state(redis.call('HGET', g.key, field)).filed
          if filed < at then oldest, at = field, filed end
        end
      end
      redis.call('HDEL', g.key, oldest)
    end
  end
  g.id, g.satisfied, g.said, g.charged, g.away = request.id, '', '', charged, request.away
  g.state = {
    status = PENDING, filed = now, due = now + request.timeout, ended = 0, retired = 0, remember = request.remember,
    uses = request.uses, used = 0, entries = request.entries,
  }
  save(g, g.state.due + HISTORY)
  redis.call('SET', request.record, request.text, 'PX', lasts(g.state.due + request.remember + HISTORY))
  redis.call('ZADD', request.owner, number(g.state.due), g.id)
  redis.call('ZREMRANGEBYSCORE', request.owner, '-inf', number(now))
  outlive(request.owner, g.state.due)
  if index then keep(g.id, request.where, g.state.due, request.anonymous) end
end

local function claim(g, calls)
  local s = g.state
  s.used = s.used + calls
  if s.uses > 0 and s.used >= s.uses then
    s.status, s.retired = USED, now
  end
  g.charged, g.away = '', '' -- from now on it counts itself, and not what filing charged
  save(g, math.max(s.due, now) + HISTORY)
  if index then
    if s.status == USED then redis.call('ZREM', index.granted, g.id) end
    changed(calls)
  end
end

local function rule(g, line, granted, satisfies, owner)
  local s = g.state
  g.said = g.said == '' and line or g.said .. '\n' .. line
  local was = s.status
  if not granted then
    s.status, s.ended = DENIED, now
    g.charged, g.away = '', ''
  else
    g.satisfied = g.satisfied .. satisfies
    local all = true
    for entry = 0, s.entries - 1 do all = all and g.satisfied:find(string.char(entry), 1, true) ~= nil end
    if all then
      s.status, s.ended = GRANTED, now
      if s.remember > 0 then s.due = now + s.remember end
    end
  end
  save(g, math.max(s.due, now) + HISTORY)
  if s.status ~= was then redis.call('ZREM', owner, g.id) end
  if index then
    if s.status == was then changed(1) else ended(g.id, now, s.status == GRANTED and s.due or nil) end
  end
end
