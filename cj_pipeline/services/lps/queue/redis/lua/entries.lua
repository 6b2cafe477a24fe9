-- This file holds the stored requests and every move that one of them can make. It is sent with calls.lua, tending.lua and
-- dispatch.lua as one script.
--
-- KEYS[1] is the prefix of all keys. Under it:
--   requests          zset   waiting for a claim, by place (priority, then arrival)
--   delayed           zset   waiting for their next attempt, by when
--   expiries          zset   all of both, by when their time to live ends; its size is how many are queued
--   data              hash   the record of each request that is not over; its size is how much of the queue is taken
--   bytes, sequence, refusing     counters, and whether the queue is between its watermarks on the way down
--   request:<id>      hash   the state of the request, and what is compared or added up here
--   claims:<owner>    zset   whom this instance answers, by when the claim runs out
--   outbox:<owner>    zset   whose callbacks this instance brings to the bus, in the order of their answers
--   callback:<id>     string
--   owners            set    instances that hold claims or callbacks
--   owner:<owner>     string that expires unless the instance is alive
--   over              zset   published and still remembered, by when
--   broken            hash   records that nobody can read, put aside
--   reply:<owner>     string what the last call of that instance did, for when its reply was lost
--
-- Numbers are handed to commands as they are: Redis writes them with 17 digits, `..` and tostring() with 14, which
-- cuts a place off.

local PREFIX = KEYS[1]
local REQUESTS, DELAYED, EXPIRIES = PREFIX .. ':requests', PREFIX .. ':delayed', PREFIX .. ':expiries'
local DATA, BYTES, SEQUENCE = PREFIX .. ':data', PREFIX .. ':bytes', PREFIX .. ':sequence'
local REFUSING, OWNERS, OVER, BROKEN = PREFIX .. ':refusing', PREFIX .. ':owners', PREFIX .. ':over', PREFIX .. ':broken'

local me, number, now, claimed_until = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3]), ARGV[4]
local max_size, max_bytes = tonumber(ARGV[5]), tonumber(ARGV[6])
local high_watermark, low_watermark = tonumber(ARGV[7]), tonumber(ARGV[8])
local max_attempts, owner_ttl_ms = tonumber(ARGV[9]), ARGV[10]
local remembered_s, remembered_answers, kept_callbacks = tonumber(ARGV[11]), tonumber(ARGV[12]), tonumber(ARGV[13])
local FIRST_CALL = 14

local call = redis.call

-- What the moves of this script have done that is seen to once, at its end.
local has_woken, holds, published = false, false, 0

local function state_of(id) return PREFIX .. ':request:' .. id end
local function callback_of(id) return PREFIX .. ':callback:' .. id end
local function claims_of(owner) return PREFIX .. ':claims:' .. owner end
local function outbox_of(owner) return PREFIX .. ':outbox:' .. owner end
local function life_of(owner) return PREFIX .. ':owner:' .. owner end

local function line_up(id, place)
  -- A claimer that waits has seen an empty line; only the first request in it is news.
  if not has_woken and call('ZCARD', REQUESTS) == 0 then has_woken = true end
  call('ZADD', REQUESTS, place, id)
end

-- Put a record aside that cannot be used, so that nothing waits for it.
local function set_aside(id)
  local owner, size = unpack(call('HMGET', state_of(id), 'owner', 'size'))
  local record = call('HGET', DATA, id)
  if record then
    call('HSET', BROKEN, id, record)
    call('HDEL', DATA, id)
    if tonumber(size) then call('DECRBY', BYTES, size) end
  end
  for _, key in ipairs({REQUESTS, DELAYED, EXPIRIES}) do call('ZREM', key, id) end
  if owner then
    call('ZREM', claims_of(owner), id)
    call('ZREM', outbox_of(owner), id)
  end
  call('DEL', state_of(id), callback_of(id))
end

-- To this instance. The caller has taken them from the line, or from their delay.
local function start(ids)
  if #ids == 0 then return end
  local claims = {}
  for _, id in ipairs(ids) do
    claims[#claims + 1] = claimed_until
    claims[#claims + 1] = id
    call('HSET', state_of(id), 'status', 'processing', 'owner', me)
  end
  call('ZREM', EXPIRIES, unpack(ids))
  call('ZADD', claims_of(me), unpack(claims))
  holds = true
end

-- Back to its place in the line, or to that after a delay: `due` is when, false for now.
local function give_back(id, owner, due)
  local place, expires_at = unpack(call('HMGET', state_of(id), 'place', 'expires_at'))
  call('ZREM', claims_of(owner), id)
  call('ZADD', EXPIRIES, expires_at, id)
  call('HSET', state_of(id), 'status', 'queued', 'owner', '')
  if due then call('ZADD', DELAYED, due, id) else line_up(id, place) end
end

local function end_delays()
  for _, id in ipairs(call('ZRANGEBYSCORE', DELAYED, '-inf', now, 'LIMIT', 0, 256)) do
    call('ZREM', DELAYED, id)
    local place = call('HGET', state_of(id), 'place')
    if place then line_up(id, place) else set_aside(id) end
  end
end

-- Whether this instance still holds the request by the claim of this attempt.
local function holds_claim(id, attempts)
  local status, owner, stored = unpack(call('HMGET', state_of(id), 'status', 'owner', 'attempts'))
  return status == 'processing' and owner == me and stored == attempts
end

local function forget(ids)
  for _, id in ipairs(ids) do
    call('ZREM', OVER, id)
    call('DEL', state_of(id), callback_of(id))
  end
end

-- Keep the memory of what is over within its bounds, `added` of which are new.
local function trim(added)
  forget(call('ZRANGEBYSCORE', OVER, '-inf', now - remembered_s, 'LIMIT', 0, 256))
  local size = call('ZCARD', OVER)
  if size > remembered_answers then forget(call('ZRANGE', OVER, 0, size - remembered_answers - 1)) end
  size = call('ZCARD', OVER)
  if size > kept_callbacks then
    for _, id in ipairs(call('ZRANGE', OVER, math.max(0, size - kept_callbacks - added), size - kept_callbacks - 1)) do
      call('DEL', callback_of(id))
    end
  end
end
