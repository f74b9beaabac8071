-- The window at hand, aligned to the epoch (authz/state/fixed.py). Text: mode, when it ends, what was paid in it and
-- what that leaves out by rounding. What is left of the text is whoever it is counted for.
local FIXED = 4
local fixed = {}

local function edge(c, now)
  local due = (floor(now / c.window) + 1) * c.window
  if due > now then return due end
  return due + c.window
end

function fixed.read(c, text, now)
  c.total, c.rest, c.due = 0, 0, 0
  if not text then return end
  local mode, due, total, rest, at = unpack('<Bddd', text)
  if mode ~= FIXED then error('not a fixed window') end
  c.who = text:sub(at)
  -- An end beyond the next edge was written by a clock that went back since: it counts until that edge.
  if due > now then
    c.total, c.rest, c.due = total, rest, math.min(due, edge(c, now))
    c.touched = c.due < due
  end
end

function fixed.used(c) return c.total end

function fixed.live(c) return c.total > 0 end

function fixed.wait(c, now, cost)
  if cost > c.most then return huge end
  return until_(edge(c, now), now)
end

function fixed.reset(c, now)
  if c.total > 0 then return until_(c.due, now) end
  return 0
end

function fixed.add(c, now, cost)
  c.total, c.rest = plus(c.total, c.rest, cost)
  c.due = edge(c, now)
end

function fixed.back(c, at, cost, now)
  if edge(c, at) <= now then return end
  if cost < c.total then c.total, c.rest = plus(c.total, c.rest, -cost) else c.total, c.rest = 0, 0 end
end

function fixed.inherit(c, other, now)
  if other.total > 0 then fixed.add(c, now, other.total) end
end

function fixed.dump(c) return pack('<Bddd', FIXED, c.due, c.total, c.rest) end
