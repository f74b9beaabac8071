-- A bucket of tokens that fills by itself (authz/state/bucket.py). Text: mode, what was missing, what that leaves out
-- by rounding, when that was, and how many came back a second. What is left is whoever it is counted for.
local BUCKET = 5
local bucket = {}

local function refilled(c, from, now) return (now - from) * c.max / c.window end

local function seconds(c, tokens) return tokens * c.window / c.max end

function bucket.used(c, now)
  if c.level == 0 then return 0 end
  return math.max(0, c.level - refilled(c, c.at, now) + c.rest)
end

local function refill(c, now)
  if bucket.used(c, now) > 0 then
    c.level, c.rest = plus(c.level, c.rest, -refilled(c, c.at, now))
  else
    c.level, c.rest = 0, 0
  end
  c.at = now
end

function bucket.read(c, text, now)
  c.level, c.rest, c.at, c.due = 0, 0, now, now
  if not text then return end
  local mode, level, rest, seen, max, at = unpack('<Bdddd', text)
  if mode ~= BUCKET then error('not a token bucket') end
  c.who = text:sub(at)
  c.level, c.rest, c.at, c.touched = level, rest, math.min(seen, now), seen > now
  if max ~= c.max then
    local wanted = c.max
    c.max = max -- what came back until now did so at the pace of then
    refill(c, now)
    c.max, c.touched = wanted, true
  end
  if bucket.used(c, now) == 0 then c.level, c.rest, c.at = 0, 0, now end
  c.due = c.at + seconds(c, c.level)
end

function bucket.live(c) return c.level > 0 end

function bucket.wait(c, now, cost)
  if cost > c.most then return huge end
  local wait = seconds(c, bucket.used(c, now) + cost - c.most)
  while bucket.used(c, now + wait) + cost > c.most do wait = wait + ulp(now + wait) end -- short by a rounding
  return wait
end

function bucket.reset(c, now) return seconds(c, bucket.used(c, now)) end

function bucket.add(c, now, cost)
  refill(c, now)
  c.level, c.rest = plus(c.level, c.rest, cost)
  c.due = now + seconds(c, c.level)
end

-- What has come back since `at` may be what `cost` took, so it is not given a second time.
function bucket.back(c, at, cost, now)
  cost = cost - refilled(c, at, now)
  if cost <= 0 then return end
  refill(c, now)
  if cost < c.level then c.level, c.rest = plus(c.level, c.rest, -cost) else c.level, c.rest = 0, 0 end
  c.due = now + seconds(c, c.level)
end

function bucket.inherit(c, other, now)
  local cost = bucket.used(other, now)
  if cost > 0 then bucket.add(c, now, cost) end
end

function bucket.dump(c) return pack('<Bdddd', BUCKET, c.level, c.rest, c.at, c.max) end
