-- Takes back what an attempt was charged in this slot, because a later slot has refused it. ARGV: time or -1, what
-- discharge.lua replied about where it was counted, 1 where a repeat must not know of it. KEYS: that of the repeat.
clock(tonumber(ARGV[1]))
give_back(ARGV[2], {})
write()
if ARGV[3] == '1' then
  recall(KEYS[1])
  if known_due then
    for ident, cost in pairs(given) do known[ident] = math.max(0, (known[ident] or 0) - cost) end
    remember({}, {}, 0)
  end
end
return 1
