-- This file holds the call `tend`, which every instance makes from time to time: requests expire, delays end, claims run
-- out, instances die. What it finds goes to the instance that called.

local AT_ONCE = 64       -- records in one reply
local CALLBACKS_AT_ONCE = 256

local function reclaim(id, owner, lapses)
  local attempts = call('HINCRBY', state_of(id), 'attempts', 1)
  give_back(id, owner, false)
  if attempts >= max_attempts then
    call('ZREM', REQUESTS, id)
    start({id})
    lapses[#lapses + 1] = {'given_up', id}
  else
    lapses[#lapses + 1] = {'reclaimed', id}
  end
end

-- Claims that ran out; of a dead instance, all.
local function reclaim_from(owner, alive, lapses)
  local ids = call('ZRANGEBYSCORE', claims_of(owner), '-inf', alive and now or '+inf', 'LIMIT', 0, AT_ONCE)
  for _, id in ipairs(ids) do
    if call('HGET', state_of(id), 'status') == 'processing' then
      reclaim(id, owner, lapses)
    else
      call('ZREM', claims_of(owner), id)
      set_aside(id)
    end
  end
  return #ids == AT_ONCE
end

-- The callbacks that a dead instance left, with their order.
local function adopt_from(owner, adopted)
  local found = call('ZRANGE', outbox_of(owner), 0, CALLBACKS_AT_ONCE - 1, 'WITHSCORES')
  for i = 1, #found, 2 do
    call('ZREM', outbox_of(owner), found[i])
    call('ZADD', outbox_of(me), found[i + 1], found[i])
    call('HSET', state_of(found[i]), 'owner', me)
    adopted[#adopted + 1] = found[i]
    holds = true
  end
  return #found == 2 * CALLBACKS_AT_ONCE
end

local function first_of(key)
  local first = call('ZRANGE', key, 0, 0, 'WITHSCORES')
  return tonumber(first[2] or 'inf')
end

-- whether to take over from instances that show no sign of life: 0 or 1
calls.tend = {
  run = function(a)
    local lapses, adopted, more = {}, {}, false
    end_delays()
    if call('ZCARD', claims_of(me)) + call('ZCARD', outbox_of(me)) > 0 then holds = true end
    for _, owner in ipairs(call('SMEMBERS', OWNERS)) do
      local alive = owner == me or a[1] == '0' or call('EXISTS', life_of(owner)) == 1
      if reclaim_from(owner, alive, lapses) then more = true end
      if not alive and adopt_from(owner, adopted) then more = true end
      if not alive and call('ZCARD', claims_of(owner)) + call('ZCARD', outbox_of(owner)) == 0 then
        call('SREM', OWNERS, owner)
      end
    end
    local expired = call('ZRANGEBYSCORE', EXPIRIES, '-inf', now, 'LIMIT', 0, AT_ONCE)
    for _, id in ipairs(expired) do
      if call('HGET', state_of(id), 'status') == 'queued' then
        call('ZREM', REQUESTS, id)
        call('ZREM', DELAYED, id)
        start({id})
        lapses[#lapses + 1] = {'expired', id}
      else
        set_aside(id)
      end
    end
    return {(more or #expired == AT_ONCE) and 1 or 0, lapses, adopted}
  end,
  -- waiting, total, when time will next do something ('' for never), more at once, lapses, callbacks
  show = function(done)
    local next_at = math.min(first_of(EXPIRIES), first_of(DELAYED))
    for _, owner in ipairs(call('SMEMBERS', OWNERS)) do next_at = math.min(next_at, first_of(claims_of(owner))) end
    local lapses, callbacks = {}, {}
    for _, lapse in ipairs(done[2]) do
      local kind, id = lapse[1], lapse[2]
      local attempts, worked_s = unpack(call('HMGET', state_of(id), 'attempts', 'worked_s'))
      local record = call('HGET', DATA, id)
      if record and (kind == 'reclaimed' or held(id)) then
        lapses[#lapses + 1] = {kind, id, attempts, worked_s, record}
      end
    end
    for _, id in ipairs(done[3]) do
      local owner, correlation_id, topic, key, status =
        unpack(call('HMGET', state_of(id), 'owner', 'correlation_id', 'topic', 'key', 'status'))
      local callback = call('GET', callback_of(id))
      if owner == me and topic and callback then
        callbacks[#callbacks + 1] = {id, correlation_id, topic, key, callback, status}
      end
    end
    local next_text = next_at < math.huge and string.format('%.6f', next_at) or ''
    return {call('ZCARD', REQUESTS), call('HLEN', DATA), next_text, done[1], lapses, callbacks}
  end,
}
