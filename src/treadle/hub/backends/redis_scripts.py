"""What the Redis backend does in one step on the server: Lua, one script for each operation.

Keys of a room carry its name in braces. `meta` is a hash: the epoch, the last offset, and how long
to live (`life`, milliseconds). `log` is a stream of ids `offset-0` with the body `b` and the time
`x` at which the entry is too old. `once` is a key for each name of a message that is not to be
repeated. `who` is a hash: client -> node, a line end, what others may see.

A member's place is also in the set of its node (`place`: the room's length, a colon, the room, the
client), so that the members of a dead node are found without looking through every room.
"""

from __future__ import annotations

__all__ = ["SCRIPTS"]

NOW = """
local function now()
  local t = redis.call('TIME')
  return t[1] * 1000 + math.floor(t[2] / 1000)
end
local function live(key, life)  -- let it live for so long at least
  if redis.call('PTTL', key) < life then redis.call('PEXPIRE', key, life) end
end
"""

# KEYS: meta log. candidate: an epoch to take if there is none. Position and life of a room.
ROOM = (
    NOW
    + """
local function begin(candidate)
  redis.call('DEL', KEYS[2])
  redis.call('HSET', KEYS[1], 'epoch', candidate, 'offset', 0)
  return candidate
end
local function room(candidate, life)
  local found = redis.call('HMGET', KEYS[1], 'epoch', 'offset', 'life')
  local epoch, offset = found[1], tonumber(found[2] or 0)
  if not epoch then epoch, offset = begin(candidate), 0 end
  life = math.max(life, tonumber(found[3] or 0))
  live(KEYS[1], life)
  return epoch, offset
end
"""
)

# KEYS: meta log once channel; ARGV: candidate life body count age window
APPEND = (
    ROOM
    + """
local life, count, age = tonumber(ARGV[2]), tonumber(ARGV[4]), tonumber(ARGV[5])
local window = tonumber(ARGV[6])
local epoch = room(ARGV[1], life)
if window > 0 then
  local seen = redis.call('GET', KEYS[3])
  if seen and string.sub(seen, 1, #epoch + 1) == epoch .. ' ' then
    return {1, epoch, tonumber(string.sub(seen, #epoch + 2))}
  end
end
local offset = redis.call('HINCRBY', KEYS[1], 'offset', 1)
redis.call('HSET', KEYS[1], 'life', life)
if count > 0 and age > 0 then
  local time = now()
  redis.call('XADD', KEYS[2], 'MAXLEN', count, offset .. '-0', 'b', ARGV[3], 'x', time + age)
  -- a few of the oldest each time: more than were added, so that none stays for long
  for _, entry in ipairs(redis.call('XRANGE', KEYS[2], '-', '+', 'COUNT', 4)) do
    if tonumber(entry[2][4]) > time then break end
    redis.call('XDEL', KEYS[2], entry[1])
  end
  live(KEYS[2], age)
else  -- it will be missing from what is kept, so that this is of no use any more
  redis.call('DEL', KEYS[2])
end
if window > 0 then redis.call('SET', KEYS[3], epoch .. ' ' .. offset, 'PX', window) end
redis.call('PUBLISH', KEYS[4], 'E' .. epoch .. ' ' .. offset .. ' ' .. ARGV[3])
return {0, epoch, offset}
"""
)

# KEYS: meta log; ARGV: candidate life epoch offset, the latter two being what this node has seen.
# A server that lost its last moments counts them again: only a new epoch tells the two apart.
LAST = (
    ROOM
    + """
local epoch, offset = room(ARGV[1], tonumber(ARGV[2]))
if epoch == ARGV[3] and offset < tonumber(ARGV[4]) then epoch, offset = begin(ARGV[1]), 0 end
return {epoch, offset}
"""
)

# KEYS: meta log; ARGV: epoch offset limit
READ = (
    NOW
    + """
local found = redis.call('HMGET', KEYS[1], 'epoch', 'offset')
local after, last = tonumber(ARGV[2]), tonumber(found[2] or 0)
if found[1] ~= ARGV[1] then return {'the history begins anew'} end
if after > last then return {'the position is ahead of the history'} end
if after == last then return {'', {}} end
local time, answer = now(), {}
local entries = redis.call('XRANGE', KEYS[2], (after + 1) .. '-0', '+', 'COUNT', ARGV[3])
for i, entry in ipairs(entries) do
  local fields = entry[2]
  if entry[1] ~= (after + i) .. '-0' or tonumber(fields[4]) <= time then break end
  answer[i] = fields[2]
end
if #answer == 0 then return {'the history does not reach back so far'} end
return {'', answer}
"""
)

# KEYS: meta log; ARGV: candidate life count
TAIL = (
    ROOM
    + """
local epoch, last = room(ARGV[1], tonumber(ARGV[2]))
local time, answer = now(), {}
if tonumber(ARGV[3]) > 0 then
  local entries = redis.call('XREVRANGE', KEYS[2], '+', '-', 'COUNT', ARGV[3])
  for i, entry in ipairs(entries) do
    local fields = entry[2]
    if entry[1] ~= (last - i + 1) .. '-0' or tonumber(fields[4]) <= time then break end
    answer[i] = fields[2]
  end
end
return {epoch, last - #answer, answer}
"""
)

# KEYS: meta log; ARGV: candidate life. The position before the first entry that is kept.
OLDEST = (
    ROOM
    + """
local epoch, last = room(ARGV[1], tonumber(ARGV[2]))
local time, from = now(), '-'
while true do
  local entries = redis.call('XRANGE', KEYS[2], from, '+', 'COUNT', 100)
  for _, entry in ipairs(entries) do
    local offset = tonumber(string.match(entry[1], '^%d+'))
    if tonumber(entry[2][4]) > time then return {epoch, offset - 1} end
    from = (offset + 1) .. '-0'
  end
  if #entries == 0 then return {epoch, last} end
end
"""
)

# KEYS: who places nodes; ARGV: node client info place
ENTER = """
local known = redis.call('HEXISTS', KEYS[1], ARGV[2])
redis.call('HSET', KEYS[1], ARGV[2], ARGV[1] .. '\\n' .. ARGV[3])
redis.call('SADD', KEYS[2], ARGV[4])
redis.call('SADD', KEYS[3], ARGV[1])
return 1 - known
"""

# KEYS: who places; ARGV: node client place
EXIT = """
redis.call('SREM', KEYS[2], ARGV[3])
local value = redis.call('HGET', KEYS[1], ARGV[2])
if not value or string.sub(value, 1, #ARGV[1] + 1) ~= ARGV[1] .. '\\n' then return 0 end
return redis.call('HDEL', KEYS[1], ARGV[2])
"""

# KEYS: who; ARGV: what comes before a node's name in the key of its lease
MEMBERS = """
local alive, answer = {}, {}
local who = redis.call('HGETALL', KEYS[1])
for i = 1, #who, 2 do
  local value = who[i + 1]
  local line = string.find(value, '\\n', 1, true)
  local node = string.sub(value, 1, line - 1)
  if alive[node] == nil then alive[node] = redis.call('EXISTS', ARGV[1] .. node) == 1 end
  if alive[node] then
    answer[#answer + 1] = who[i]
    answer[#answer + 1] = string.sub(value, line + 1)
  end
end
return answer
"""

# KEYS: lease nodes; ARGV: node milliseconds. Had it a lease until now?
BEAT = """
local had = redis.call('EXISTS', KEYS[1])
redis.call('SET', KEYS[1], '1', 'PX', ARGV[2])
redis.call('SADD', KEYS[2], ARGV[1])
return had
"""

# KEYS: nodes; ARGV: what comes before a node's name in the key of its lease, of its places; what
# comes before and after a room's name in the key of its members; at most so many at once; the one
# node that is to be buried, alive or not, or ''. Whether there may be more; places and what others
# may see, in turn.
BURY = """
local answer = {}
local nodes = ARGV[6] ~= '' and {ARGV[6]} or redis.call('SMEMBERS', KEYS[1])
for _, node in ipairs(nodes) do
  if node == ARGV[6] or redis.call('EXISTS', ARGV[1] .. node) == 0 then
    local places = ARGV[2] .. node
    for _, place in ipairs(redis.call('SPOP', places, tonumber(ARGV[5]) - #answer / 2)) do
      local colon = string.find(place, ':', 1, true)
      local length = tonumber(string.sub(place, 1, colon - 1))
      local who = ARGV[3] .. string.sub(place, colon + 1, colon + length) .. ARGV[4]
      local client = string.sub(place, colon + length + 1)
      local value = redis.call('HGET', who, client)
      if value and string.sub(value, 1, #node + 1) == node .. '\\n' then
        redis.call('HDEL', who, client)
        answer[#answer + 1] = place
        answer[#answer + 1] = string.sub(value, #node + 2)
      end
    end
    if #answer / 2 >= tonumber(ARGV[5]) then return {1, answer} end
    if redis.call('EXISTS', places) == 0 then
      redis.call('SREM', KEYS[1], node)
      redis.call('DEL', ARGV[1] .. node)
    end
  end
end
return {0, answer}
"""

SCRIPTS = {
    "append": APPEND,
    "last": LAST,
    "read": READ,
    "tail": TAIL,
    "oldest": OLDEST,
    "enter": ENTER,
    "exit": EXIT,
    "members": MEMBERS,
    "beat": BEAT,
    "bury": BURY,
}
