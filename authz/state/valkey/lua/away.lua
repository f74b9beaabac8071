-- What filing a request charged in other slots is given back and must not be again. KEYS: the hash of its digest.
if redis.call('EXISTS', KEYS[1]) == 1 then redis.call('HSET', KEYS[1], 'away', '') end
return 1
