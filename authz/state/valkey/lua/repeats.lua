-- What a request has just paid: until when it is known; then by charge its ident, its cost and nothing, and by request
-- for approval the ident, how many grants it has claimed and their ids, a line each.
local repeat_key, known, known_ids, known_due

local function recall(key)
  repeat_key, known, known_ids, known_due = key, {}, {}, nil
  local text = key and redis.call('GET', key)
  if not text then return end
  local due, at = unpack('<d', text)
  if due <= now then return end
  known_due = due
  while at <= #text do
    local ident, cost, ids
    ident, cost, ids, at = unpack('<c12dHc0', text, at)
    known[ident], known_ids[ident] = cost, ids
  end
end

-- How much of what it owes `ident` has paid already; each cost covers once.
local function covered(left, ident, cost)
  local has = left[ident] or 0
  local free = math.min(cost, has)
  left[ident] = has - free
  return free
end

local function remember(paid, ids, window)
  if not known_due then known_due, known, known_ids = now + window, {}, {} end
  local parts = {}
  for ident, cost in pairs(paid) do
    if cost > (known[ident] or 0) then known[ident], known_ids[ident] = cost, ids[ident] or '' end
  end
  for ident, cost in pairs(known) do
    if cost > 0 then parts[#parts + 1] = pack('<c12dHc0', ident, cost, #known_ids[ident], known_ids[ident]) end
  end
  redis.call('SET', repeat_key, pack('<d', known_due) .. table.concat(parts), 'PX', lasts(known_due))
end
