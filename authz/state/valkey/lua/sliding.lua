-- A sliding window log (authz/state/window.py, whose rules these are).
-- Text: mode, number of entries; mode UNIT: a time each, all costs are 1; else when the last bucket was opened, the
-- total and (time, cost) pairs. What is left of the text is whoever it is counted for. Times are when an entry leaves.
local EXACT = 128
local UNIT, WHOLE, FRACTIONS = 1, 2, 3
local sliding = {}

local function size(c) return c.mode == UNIT and 8 or 16 end

local function empty(c)
  c.mode, c.n, c.total, c.due, c.opened, c.text, c.first, c.stop = UNIT, 0, 0, 0, 0, '', 1, 0
end

-- The entries as one list {time, cost, time, cost, ...}.
local function entries(c)
  local list = {}
  for at = c.first, c.stop, size(c) do
    list[#list + 1] = unpack('<d', c.text, at)
    list[#list + 1] = c.mode == UNIT and 1 or unpack('<d', c.text, at + 8)
  end
  return list
end

local function sum(list)
  local partials = {}
  for at = 2, #list, 2 do put(partials, list[at]) end
  return rounded(partials)
end

local function assign(c, list, whole)
  local parts = {}
  for at = 1, #list, 2 do parts[#parts + 1] = pack('<dd', list[at], list[at + 1]) end
  c.text = table.concat(parts)
  c.first, c.stop, c.n = 1, #c.text, #parts
  if c.n == 0 then return empty(c) end
  c.mode = whole and WHOLE or FRACTIONS
  c.due = list[#list - 1]
  c.total = sum(list)
end

function sliding.read(c, text, now)
  empty(c)
  if not text then return end
  local mode, n, first = unpack('<BH', text)
  if mode > FRACTIONS then error('not a sliding window') end
  c.mode, c.n = mode, n
  if mode == UNIT then
    c.total = n
  else
    c.opened, c.total, first = unpack('<dd', text, first)
  end
  local step = size(c)
  c.text, c.first, c.stop = text, first, first + n * step - 1
  c.who = text:sub(c.stop + 1)
  c.due = unpack('<d', text, c.stop - step + 1)
  if mode == UNIT then c.opened = c.due end
  if c.due <= now then return empty(c) end
  while true do
    if unpack('<d', text, c.first) > now then break end
    if mode == WHOLE then c.total = c.total - unpack('<d', text, c.first + 8) end
    c.first = c.first + step
    c.n = c.n - 1
  end
  if mode == UNIT then c.total = c.n end
  if c.due > now + c.window then
    -- The clock went back: nothing counts for longer than a window from now.
    local list = entries(c)
    for at = 1, #list, 2 do list[at] = math.min(list[at], now + c.window) end
    assign(c, list, mode ~= FRACTIONS)
    c.opened, c.touched = c.due, true
  elseif mode == FRACTIONS and c.first > first then
    c.total = sum(entries(c))
  end
end

function sliding.live(c) return c.n > 0 end

local function opens(c, cost)
  local list = entries(c)
  if c.mode ~= FRACTIONS then
    local left = c.total
    for at = 1, #list, 2 do
      left = left - list[at + 1]
      if left + cost <= c.most then return list[at] end
    end
    return c.due
  end
  local partials = {}
  for at = #list, 2, -2 do
    put(partials, list[at])
    if rounded(partials) + cost > c.most then return list[at - 1] end
  end
  return list[1]
end

function sliding.wait(c, now, cost)
  if cost > c.most then return huge end
  return until_(opens(c, cost), now)
end

function sliding.reset(c, now)
  if c.n > 0 then return until_(c.due, now) end
  return 0
end

function sliding.add(c, now, cost)
  local due = now + c.window
  local grain = (c.most > EXACT or c.n >= EXACT) and c.window / EXACT or 0
  local whole = c.mode ~= FRACTIONS and cost % 1 == 0
  -- Fractions of one instant stay apart while there is room: added up in place they would be rounded each time.
  local join = c.n > 0 and due - c.opened <= grain and (whole or grain > 0)
  if c.mode == UNIT and (join or cost ~= 1) then
    local opened = c.opened
    assign(c, entries(c), true)
    c.mode, c.opened = WHOLE, opened
  end
  local body = c.text:sub(c.first, c.stop)
  if c.mode == UNIT then
    body = body .. pack('<d', due)
    c.opened = due
  elseif join then
    body = body:sub(1, -17) .. pack('<dd', due, unpack('<d', body, #body - 7) + cost)
  else
    body = body .. pack('<dd', due, cost)
    c.opened = due
  end
  c.text, c.first, c.stop, c.due = body, 1, #body, due
  c.n = #body / size(c)
  if whole then
    c.total = c.total + cost
  else
    c.mode = FRACTIONS
    c.total = sum(entries(c))
  end
end

function sliding.back(c, at, cost, now)
  local due, list = at + c.window, entries(c)
  if due <= now then return end
  -- The very entry, the bucket that it joined, or the first of several of one instant.
  local place = 1
  while place <= #list and list[place] < due do place = place + 2 end
  local left, leaves, opened = cost, list[place], c.opened
  while left > 0 and leaves and list[place] == leaves do
    if left < list[place + 1] then
      list[place + 1] = list[place + 1] - left
      break
    end
    left = left - list[place + 1]
    table.remove(list, place)
    table.remove(list, place)
    opened = -huge -- what comes next joins no entry from before
  end
  assign(c, list, c.mode ~= FRACTIONS and cost % 1 == 0)
  if c.n > 0 then c.opened = opened end
end

function sliding.inherit(c, other)
  if other.n == 0 then return end
  local list, both = {}, {}
  for _, source in ipairs({c, other}) do
    local own = entries(source)
    for at = 1, #own, 2 do both[#both + 1] = {own[at], own[at + 1]} end
  end
  table.sort(both, function(a, b) return a[1] < b[1] or (a[1] == b[1] and a[2] < b[2]) end)
  for _, entry in ipairs(both) do
    list[#list + 1] = entry[1]
    list[#list + 1] = entry[2]
  end
  assign(c, list, c.mode ~= FRACTIONS and other.mode ~= FRACTIONS)
  c.opened = c.due
end

function sliding.used(c) return c.total end

function sliding.dump(c)
  local head = pack('<BH', c.mode, c.n)
  if c.mode ~= UNIT then head = head .. pack('<dd', c.opened, c.total) end
  return head .. c.text:sub(c.first, c.stop)
end
