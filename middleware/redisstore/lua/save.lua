-- Writes a session if the stored version is the expected one and none of its tombs refuses it.
-- KEYS: the session, tombs that share its node. ARGV: expected version or 0, new version, data, TTL in ms, issued in µs, tombs.
-- The new version is random, so finding it here means that go-redis has repeated a command whose answer was lost.
local stored = redis.call('HGET', KEYS[1], 'v')
if stored == ARGV[2] then return 'ok' end
for i = 2, #KEYS do
  local at = redis.call('GET', KEYS[i])
  if at and tonumber(at) >= tonumber(ARGV[5]) then return 'absent' end
end
if ARGV[1] == '0' then
  if stored then return 'conflict' end
else
  if not stored then return 'absent' end
  if stored ~= ARGV[1] then return 'conflict' end
end
redis.call('HSET', KEYS[1], 'v', ARGV[2], 'd', ARGV[3], 't', ARGV[6])
redis.call('PEXPIRE', KEYS[1], ARGV[4])
return 'ok'
