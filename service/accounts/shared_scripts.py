"""What a Redis or Valkey server does for the limiter, each in one step. Pure text.

`local_limits.py` says the same in Python; a test holds the two together. Keys: the account's open
calls and the key's (sorted sets of leases, by when they expire), and what is taken of the key's
rates (a hash). Times are microseconds by the server's own clock, unless the first argument is one.
All numbers are whole and below 2^53, which a Lua number holds exactly.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

_CLOCK = """
local now = tonumber(ARGV[1])
if not now then
  local time = redis.call('TIME')
  now = time[1] * 1000000 + time[2]
end
"""

# What outlives its use goes away by itself, a minute late: nobody waits for it.
_RATES = """
local id, rpm, tpm = ARGV[2], tonumber(ARGV[3]), tonumber(ARGV[4])
local kept = redis.call('HMGET', KEYS[3], 'at', 'requests', 'tokens')
local at = tonumber(kept[1]) or now
local passed = math.max(0, now - at)
at = math.max(at, now)
local function drained(debt, limit)
  if limit == 0 then return 0 end
  return math.max(0, (tonumber(debt) or 0) - passed * limit)
end
local requests, tokens = drained(kept[2], rpm), drained(kept[3], tpm)
local function keep()
  local left = 0
  if rpm > 0 then left = math.max(left, requests / rpm) end
  if tpm > 0 then left = math.max(left, tokens / tpm) end
  local text = '%.0f'
  redis.call('HSET', KEYS[3], 'at', text:format(at), 'requests', text:format(requests),
    'tokens', text:format(tokens))
  redis.call('PEXPIRE', KEYS[3], math.ceil(left / 1000) + 60000)
end
"""

_ENTER = """
local lease, cost = tonumber(ARGV[5]), tonumber(ARGV[8])
local function full(set, most)
  if most == 0 then return false end
  redis.call('ZREMRANGEBYSCORE', set, '-inf', now)
  return redis.call('ZCARD', set) >= most
end
local function add(set)
  redis.call('ZADD', set, now + lease, id)
  redis.call('PEXPIRE', set, math.ceil(lease / 1000) + 60000)
end
local minute = 60000000
local account_active = tonumber(ARGV[6])
local met = 0
if full(KEYS[1], account_active) then met = 1
elseif full(KEYS[2], tonumber(ARGV[7])) then met = 2
elseif rpm > 0 and requests + minute > rpm * minute then met = 3
elseif tpm > 0 and tokens + cost > tpm * minute then met = 4
end
if met > 0 then return {met, requests, tokens} end
if account_active > 0 then add(KEYS[1]) end
add(KEYS[2])
if rpm > 0 then requests = requests + minute end
tokens = tokens + cost
if rpm > 0 or tpm > 0 then keep() end
return {0, requests, tokens}
"""

# Only who takes the lease away corrects the tokens, so that a message told twice counts once.
_LEAVE = """
redis.call('ZREM', KEYS[1], id)
if redis.call('ZREM', KEYS[2], id) == 0 then return 0 end
local excess = tonumber(ARGV[5])
if excess ~= 0 then
  tokens = math.min(math.max(0, tokens + excess), 9007199254740991)
  keep()
end
return 1
"""

_RENEW = """
local lease = tonumber(ARGV[2])
for i = 3, #ARGV do redis.call('ZADD', KEYS[1], now + lease, ARGV[i]) end
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now)
redis.call('PEXPIRE', KEYS[1], math.ceil(lease / 1000) + 60000)
return 0
"""


@dataclass(frozen=True, slots=True)
class Script:
    """A script and the name that the server gives it."""

    text: str
    sha: str


def _script(*parts: str) -> Script:
    text = "".join(parts)
    return Script(text, hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest())


ENTER = _script(_CLOCK, _RATES, _ENTER)
LEAVE = _script(_CLOCK, _RATES, _LEAVE)
RENEW = _script(_CLOCK, _RENEW)
SCRIPTS = (ENTER, LEAVE, RENEW)
