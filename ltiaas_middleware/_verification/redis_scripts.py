"""What Redis does in one round trip, as Lua scripts.

Whoever can write to Redis can put anything there, of any type and of any length, so that nothing is
read but by ``read``: at most as many bytes as could be ours. What is longer is cut off, and does
not open.

A value of another type than text reads as "?", which nothing of ours does; one that is missing
reads as "".
"""

from __future__ import annotations

__all__ = ["BEGIN", "CONFIRM", "LOOK", "MARK_SIZE", "PUT", "REFUSE", "RELEASE", "RENEW", "USE"]

#: Bytes: more than any mark or lease of ours has.
MARK_SIZE = 250

_READ = f"""
local function read(key, most)
  local value = redis.pcall('GETRANGE', key, 0, most or {MARK_SIZE})
  return type(value) == 'string' and value or '?'
end
"""

#: launch, over, confirmed; most bytes of a launch -> the three values.
LOOK = f"""{_READ}
return {{read(KEYS[1], ARGV[1]), read(KEYS[2]), read(KEYS[3])}}
"""

#: Look, and take the lease unless another worker has it, or something is known of the launch and
#: ARGV[4] is empty. A lease that would last longer than any of ours was not made by us, and binds
#: nobody. Where Redis does not write, what can be read of it is the answer all the same.
#:
#: lease, launch, over, confirmed; token, ms, most bytes of a launch, "1" to take it in any case ->
#: "ours", "theirs", "known" or "unwritable"; the lease or the error; the three values.
BEGIN = f"""{_READ}
local launch, over, confirmed = read(KEYS[2], ARGV[3]), read(KEYS[3]), read(KEYS[4])
local held, left = read(KEYS[1]), redis.call('PTTL', KEYS[1])
if held ~= '' and held ~= '?' and left >= 0 and left <= tonumber(ARGV[2]) then
  return {{'theirs', held, launch, over, confirmed}}
end
if ARGV[4] == '' and (launch ~= '' or over ~= '') then
  return {{'known', '', launch, over, confirmed}}
end
local done = redis.pcall('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
if done.err then return {{'unwritable', done.err, launch, over, confirmed}} end
return {{'ours', '', launch, over, confirmed}}
"""

#: A Redis that was restarted has forgotten the lease: it is taken again.
#:
#: lease; token, ms -> whether it is ours.
RENEW = f"""{_READ}
local held = read(KEYS[1])
if held ~= '' and held ~= ARGV[1] then return 0 end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return 1
"""

# The owner's token is checked: who was held up for longer than the lease must not free another's.
_FREE = """
local function free(key, token)
  if token ~= '' and read(key) == token then redis.call('DEL', key) end
end
"""

#: lease; token, what to say of the failure or "", ms.
RELEASE = f"""{_READ}
if read(KEYS[1]) ~= ARGV[1] then return 0 end
if ARGV[2] == '' then return redis.call('DEL', KEYS[1]) end
redis.call('SET', KEYS[1], ARGV[2], 'PX', ARGV[3])
return 1
"""

# A Redis that is full refuses each script whose first writing command needs memory. Marks are small
# and few, and each of them keeps something shut: they are written after a DEL, which is let through
# and after which the rest is too. Without it, a full Redis would let every handoff open twice.
_MARK = """
local function mark(key, value, ms)
  redis.pcall('DEL', key)
  return redis.pcall('SET', key, value, 'PX', ms)
end
"""

#: launch, confirmed, lease; sealed, ms, the mark "confirmed" or "", lease's token or "", channel,
#: news. What follows is done even where the launch itself does not fit in.
PUT = f"""{_READ}{_FREE}{_MARK}
local done = redis.pcall('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
if ARGV[3] ~= '' then
  mark(KEYS[2], ARGV[3], ARGV[2])
  redis.call('PUBLISH', ARGV[5], ARGV[6])
end
free(KEYS[3], ARGV[4])
return done
"""

#: launch, over, lease; mark, ms, ms if there was a launch, lease's token or "", channel, news.
REFUSE = f"""{_READ}{_FREE}{_MARK}
local known = redis.call('DEL', KEYS[1])
local done = mark(KEYS[2], ARGV[1], known == 1 and ARGV[3] or ARGV[2])
redis.call('PUBLISH', ARGV[5], ARGV[6])
free(KEYS[3], ARGV[4])
return done
"""

#: confirmed; mark, ms, channel, news.
CONFIRM = f"""{_MARK}
local done = mark(KEYS[1], ARGV[1], ARGV[2])
redis.call('PUBLISH', ARGV[3], ARGV[4])
return done
"""

#: used; ms, channel, news -> 1: this was the first use; 0: it was not; an error: it is not noted.
USE = f"""{_READ}{_MARK}
if read(KEYS[1]) ~= '' then return 0 end
local done = mark(KEYS[1], '1', ARGV[1])
redis.call('PUBLISH', ARGV[2], ARGV[3])
if done.err then return done.err end
return 1
"""
