-- What one person says of a request, if it still waits. ARGV: time or -1, its id, 1 for yes, the entries of `by` that
-- it satisfies as bytes, the ruling as JSON. KEYS: the hash of its digest, its owner's pending ones, and the index where
-- it is in the same slot. Replies whether it was taken, when a grant ends (0: it is none) and whether all was decided.
clock(tonumber(ARGV[1]))
if KEYS[3] then
  use_index(3, true)
  advance()
end
local g = grant(KEYS[1])
if g.id ~= ARGV[2] or standing(g) ~= PENDING then return {0, '0', 0} end
rule(g, ARGV[5], ARGV[3] == '1', ARGV[4], KEYS[2])
local status = g.state.status
return {1, status == GRANTED and number(g.state.due) or '0', status == PENDING and 0 or 1}
