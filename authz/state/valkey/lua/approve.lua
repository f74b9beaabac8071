-- An attempt with requests for approval: where all are granted, as discharge.lua and a use of each grant is claimed;
-- else the requests that are not there are filed, which charges what their parts owe, or nothing is done.
-- ARGV: head (time or -1, flags, seconds that a repeat is known, number of charges, of parts, outcome wanted), a charge
-- each, then of each part: how many of the charges are its own, and where it has a request four more: what filing
-- charges, the request in short, its record, and what filing it charged in other slots. KEYS: as discharge.lua; seven
-- of the index where flag 8 is set; of each request the hash of its digest, its record, its owner's pending ones and the
-- counter of its owner's filings.
-- Replies the time, whether it was paid, the outcome, how long PENDING_LIMIT refuses, the charges' counters, those of
-- filing, then where everything was counted, then a text for each part.
local PEEK, REPEAT, REFERENCES, INDEX = 1, 2, 4, 8
local given, flags, repeat_window, many, parts_of, wanted = unpack('<dBdHHc1', ARGV[1])
local function flag(value) return flags % (2 * value) >= value end
local peek, place_of = flag(PEEK), 1
clock(given)
if flag(REPEAT) then
  recall(KEYS[1])
  place_of = 2
end

local charges, paid, left, found_by, ran_on = {}, {}, {}, {}, {}
for ident, cost in pairs(known or {}) do left[ident] = cost end
for at = 2, many + 1 do
  local of
  of, place_of = decode(ARGV[at], place_of)
  charges[at - 1] = of
end
if flag(INDEX) then
  use_index(place_of, true)
  place_of = place_of + 7
  advance()
end

-- How each part stands (authz/state/standings.py).
local parts, at, next_charge = {}, many + 2, 1
local missing, joined, claims, denied, granted = {}, {}, {}, false, true
local function runs_on(ident, id)
  paid[ident] = (paid[ident] or 0) + 1
  ran_on[ident] = (ran_on[ident] or '') .. id .. '\n'
end
for index_of = 1, parts_of do
  local own_charges, asks = unpack('<HB', ARGV[at])
  at = at + 1
  local part = {
    from = next_charge, to = next_charge + own_charges - 1, status = '-', expires = 0, filed = 0, id = '', said = '',
  }
  next_charge = next_charge + own_charges
  parts[index_of] = part
  if asks == 1 then
    local request = {text = ARGV[at + 2], away = ARGV[at + 3]}
    local short = ARGV[at + 1]
    local rest
    request.ident, request.timeout, request.remember, request.uses, request.entries, request.kind, request.id, rest =
      unpack('<c12ddIBBBc0', short)
    request.where, request.anonymous = short:sub(rest), request.kind == 1
    local g = grant(KEYS[place_of])
    request.record, request.owner = KEYS[place_of + 1], KEYS[place_of + 2]
    request.filing = decode(ARGV[at], place_of + 3)
    place_of, at = place_of + 4, at + 4
    part.request, part.grant = request, g
    local stands = standing(g)
    if covered(left, request.ident, 1) == 1 then
      local ids, count = {}, left[request.ident] + 1
      for id in known_ids[request.ident]:gmatch('[^\n]+') do ids[#ids + 1] = id end
      part.status, part.id, part.covered = GRANTED, ids[count] or '', true
      local state, said = remembered(g, part.id)
      if state then part.expires, part.said = math.max(0, state.due - now), said end
      runs_on(request.ident, part.id)
    elseif not stands then
      part.status, part.expires = PENDING, request.timeout
      granted = false
      if joined[g.key] then
        part.joins = joined[g.key]
      else
        joined[g.key] = part
        missing[#missing + 1] = part
      end
    else
      part.id, part.expires, part.status = g.id, g.state.due - now, stands
      if stands == GRANTED then
        if serves(g, g.needs + 1) then
          g.needs = g.needs + 1
          claims[#claims + 1] = g
          runs_on(request.ident, g.id)
        else
          part.status = PENDING
        end
      end
      if part.status ~= PENDING then part.said = g.said end
      granted = granted and part.status == GRANTED
      denied = denied or part.status == DENIED
    end
  end
end
local outcome = granted and 'C' or (denied or #missing == 0) and 'N' or 'F'

-- What is charged, and where.
local owed, files, pays, filings, blocked = {}, {}, {}, {}, -1
for _, part in ipairs(missing) do files[part] = true end
for _, part in ipairs(parts) do
  for place = part.from, part.to do
    local of = charges[place]
    local found = find(of)
    found.of, found.cost, found.part = of, 0, part
    if outcome == 'C' then
      found.cost = of.cost
      if repeat_key then found.cost = of.cost - covered(left, of.ident, of.cost) end
      paid[of.ident] = (paid[of.ident] or 0) + of.cost
    elseif outcome == 'F' and files[part] then
      found.cost = of.cost
    end
    found_by[of.ident] = found
    owed[place] = found
  end
end
local claimed, taken_back = {}, false
if outcome == 'C' then
  for _, g in ipairs(claims) do
    if not claimed[g] and g.charged ~= '' then
      give_back(g.charged, found_by)
      taken_back = true
    end
    claimed[g] = (claimed[g] or 0) + 1
  end
end
for _, found in ipairs(owed) do
  for _, c in ipairs(found) do c.owed = c.owed + found.cost end
end
local fits = outcome ~= 'N' and (wanted == '-' or wanted == outcome)
local function judge(c)
  if c.judged then return end
  c.judged, c.wait = true, -1
  if c.owed > 0 and c.kind.used(c, now) + c.owed > c.most then
    c.wait = c.kind.wait(c, now, c.owed)
    fits = false
  end
end
for _, found in ipairs(owed) do
  for _, c in ipairs(found) do judge(c) end
end
if outcome == 'F' then
  local asking, all, anonymous = {}, 0, 0
  for _, part in ipairs(missing) do
    local request = part.request
    local c = single(request.filing.key, request.filing)
    c.owed = c.owed + 1
    filings[#filings + 1] = c
    asking[request.owner] = (asking[request.owner] or 0) + 1
    all = all + 1
    if request.anonymous then anonymous = anonymous + 1 end
  end
  for _, c in ipairs(filings) do judge(c) end
  local longest = huge
  for _, part in ipairs(missing) do longest = math.min(longest, part.request.timeout) end
  for owner, count in pairs(asking) do
    if waiting(owner) + count > PENDING_OF_ONE then blocked = math.max(blocked, first(owner, longest)) end
  end
  if index and blocked < 0 then blocked = full_for(all, anonymous, longest) end
  if blocked >= 0 then fits = false end
end

local done = fits and not peek
local states, references = {}, {}
local function report(found)
  states[#states + 1] = pack('<B', #found)
  for _, c in ipairs(found) do
    states[#states + 1] = pack('<ddd', c.most - c.kind.used(c, now), c.kind.reset(c, now), c.wait)
  end
end
if done then
  local charged = false
  for _, c in ipairs(order) do
    if c.owed > 0 then
      charge(c, c.owed)
      charged = true
    end
  end
  write()
  for _, found in ipairs(owed) do
    if found.cost > 0 then
      local text = reference(found.of.ident, found.cost, found)
      references[#references + 1] = text
      found.part.charged = (found.part.charged or '') .. text
    end
  end
  for _, part in ipairs(missing) do
    if outcome == 'F' then
      file(part.grant, part.request, part.charged or '')
      part.id, part.filed = part.request.id, 1
    end
  end
  if index and outcome == 'F' then trim() end
  for g, calls in pairs(claimed) do claim(g, calls) end
  if outcome == 'C' and repeat_key and (charged or #claims > 0) then remember(paid, ran_on, repeat_window) end
elseif taken_back then
  afresh(owed) -- the grants stay, and what filing has charged as well: what is left is told as it is
end
if not done then write() end
for _, found in ipairs(owed) do report(found) end
states[#states + 1] = pack('<H', #filings)
for _, c in ipairs(filings) do report({c}) end
local reply = {
  pack('<dBc1d', now, (outcome == 'C' and fits) and 1 or 0, outcome, blocked) .. table.concat(states),
  table.concat(references),
}
for _, part in ipairs(parts) do
  if part.joins then part.id = part.joins.id end
  local away = part.grant and part.status == GRANTED and not part.covered and part.grant.away or ''
  reply[#reply + 1] = pack('<c1BdBc0I', part.status, part.filed, part.expires, #part.id, part.id, #away)
    .. away .. part.said:match('[^\n]*$')
end
return reply
