-- Arithmetic that rounds once: 0.1 ten times is 1.
local unpack_list = unpack
local pack, unpack, floor, huge = struct.pack, struct.unpack, math.floor, math.huge

-- math.fsum (Shewchuk): partials never overlap and grow.
local function put(partials, x)
  local kept = 0
  for at = 1, #partials do
    local y = partials[at]
    if math.abs(x) < math.abs(y) then x, y = y, x end
    local high = x + y
    local low = y - (high - x)
    if low ~= 0 then
      kept = kept + 1
      partials[kept] = low
    end
    x = high
  end
  for at = #partials, kept + 1, -1 do partials[at] = nil end
  partials[kept + 1] = x
end

local function rounded(partials)
  local at = #partials
  if at == 0 then return 0 end
  local high, low = partials[at], 0
  while at > 1 do
    at = at - 1
    local x, y = high, partials[at]
    high = x + y
    low = y - (high - x)
    if low ~= 0 then break end
  end
  -- Halfway cases go by what is below them.
  if at > 1 and ((low < 0 and partials[at - 1] < 0) or (low > 0 and partials[at - 1] > 0)) then
    local y = low * 2
    local x = high + y
    if y == x - high then high = x end
  end
  return high
end

local function two_sum(a, b)
  local total = a + b
  local of_b = total - a
  return total, (a - (total - of_b)) + (b - of_b)
end

-- `total + rest + amount` as the nearest number and what that leaves out (authz/state/counter.py).
local function plus(total, rest, amount)
  local error
  total, error = two_sum(total, amount)
  return two_sum(total, rest + error)
end

-- The distance from a positive number to the next one.
local function ulp(x)
  local _, exponent = math.frexp(x)
  return math.ldexp(1, exponent - 53)
end

-- Seconds from `now` to `due`, never so few that `now` plus them falls short by a rounding.
local function until_(due, now)
  local wait = due - now
  if now + wait >= due then return wait end
  return wait + ulp(wait)
end
