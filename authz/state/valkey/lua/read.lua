-- One request for people: ARGV: time or -1, its id. KEYS: the hash of its digest, its record.
-- Replies how it stands, its state, what was said of it and the request; nothing where it is not there any more.
clock(tonumber(ARGV[1]))
local g = grant(KEYS[1])
local state, said = remembered(g, ARGV[2])
if not state then return {} end
local text = redis.call('GET', KEYS[2])
if not text or until_forgotten(state) <= now then return {} end
return {shown(state), dump_state(state), said, text}
