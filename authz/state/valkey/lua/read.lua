-- One request for people: ARGV: time or -1, its id, 1 for a list. KEYS: the hash of its digest, its record.
-- Replies how it stands, its state, what was said of it, the request and (not for a list) its parameters; nothing where
-- it is not there any more. The record is a length, so many bytes for lists and the parameters.
clock(tonumber(ARGV[1]))
local g = grant(KEYS[1])
local state, said = remembered(g, ARGV[2])
if not state then return {} end
local length = redis.call('GETRANGE', KEYS[2], 0, 3)
if #length < 4 or until_forgotten(state) <= now then return {} end
local after = 4 + unpack('<I', length)
local params = ARGV[3] == '1' and '' or redis.call('GETRANGE', KEYS[2], after, -1)
return {shown(state), dump_state(state), said, redis.call('GETRANGE', KEYS[2], 4, after - 1), params}
