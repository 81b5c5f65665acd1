-- Notes a logout; the latest time and the longest TTL stay. KEYS: the tomb. ARGV: at in µs, TTL in ms.
local at, stored = ARGV[1], redis.call('GET', KEYS[1])
if stored and tonumber(stored) > tonumber(at) then at = stored end
redis.call('SET', KEYS[1], at, 'PX', math.max(tonumber(ARGV[2]), redis.call('PTTL', KEYS[1])))
return 'ok'
