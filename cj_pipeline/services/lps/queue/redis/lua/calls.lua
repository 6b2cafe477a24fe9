-- This file holds the calls that an instance can make; they are made of the moves in entries.lua.
--
-- A call has `run`, which changes things and returns briefly what it did, and `show`, which makes the reply of that and
-- changes nothing. A call that only reads has no `run`.

local calls = {}

-- id, correlation id, fingerprint, line, bundle, hint, expires_at, size, attempts, worked_s, record
calls.put = {
  run = function(a)
    local id, state = a[1], state_of(a[1])
    local fingerprint = call('HGET', state, 'fingerprint')
    if fingerprint then return {fingerprint == a[3] and 'known' or 'in_use'} end
    local size, bytes, added = call('HLEN', DATA), tonumber(call('GET', BYTES) or '0'), tonumber(a[8])
    local of_size, of_bytes = size / max_size, bytes / max_bytes
    local usage = math.max(of_size, of_bytes)
    local refusing = call('EXISTS', REFUSING) == 1
    -- One request alone is always taken, whatever its size.
    local over = size > 0 and bytes + added > max_bytes
    if over or usage >= high_watermark or (refusing and usage >= low_watermark) then
      return {'full', size, (over or of_bytes > of_size) and 'memory' or 'size'}
    end
    if refusing then call('DEL', REFUSING) end
    if math.max((size + 1) / max_size, (bytes + added) / max_bytes) >= high_watermark then call('SET', REFUSING, 1) end
    -- Arrival is a count. A score made of time, such as production's epoch / 1e10 - priority, is one and the same number
    -- for all that come within 9 microseconds, and those are then in the order of their ids.
    local place = tonumber(a[4]) + call('INCR', SEQUENCE)
    call('HSET', state, 'status', 'queued', 'owner', '', 'correlation_id', a[2], 'fingerprint', a[3], 'place', place,
      'bundle', a[5], 'hint', a[6], 'expires_at', a[7], 'size', a[8], 'attempts', a[9], 'worked_s', a[10])
    call('HSET', DATA, id, a[11])
    call('INCRBY', BYTES, a[8])
    call('ZREM', OVER, id) -- it was over once, and forgotten
    call('ZADD', EXPIRIES, a[7], id)
    line_up(id, place)
    return {'queued'}
  end,
}

-- id, attempts, worked_s, record of a request that this instance holds
local function held(id, record)
  local status, owner, attempts, worked_s = unpack(call('HMGET', state_of(id), 'status', 'owner', 'attempts', 'worked_s'))
  if status ~= 'processing' or owner ~= me then return nil end
  return {id, attempts, worked_s, record or call('HGET', DATA, id) or ''}
end

-- cap
calls.claim = {
  run = function(a)
    end_delays()
    local cap = tonumber(a[1])
    local members, limit, bundle, full = {}, cap, nil, false
    while not full and #members < limit do
      local taken = #members
      local line = call('ZRANGE', REQUESTS, 0, limit - taken - 1)
      if #line == 0 then break end
      local leave = {}
      for _, id in ipairs(line) do
        if #members >= limit then break end
        local status, expires_at, its_bundle, hint =
          unpack(call('HMGET', state_of(id), 'status', 'expires_at', 'bundle', 'hint'))
        if status ~= 'queued' then
          set_aside(id)
        elseif tonumber(expires_at) <= now then
          leave[#leave + 1] = id -- it lapses: `expiries` still has it
        elseif bundle and its_bundle ~= bundle then
          full = true
          break
        else
          if not bundle then limit, bundle = math.min(cap, tonumber(hint)), its_bundle end
          members[#members + 1] = id
          leave[#leave + 1] = id
        end
      end
      if #leave > 0 then call('ZREM', REQUESTS, unpack(leave)) end
    end
    start(members)
    return members
  end,
  show = function(members)
    local shown = {}
    if #members > 0 then
      local records = call('HMGET', DATA, unpack(members))
      for i, id in ipairs(members) do shown[#shown + 1] = held(id, records[i]) end
    end
    return {call('ZCARD', REQUESTS), shown}
  end,
}

-- id, attempts, and so on for each
calls.renew = {
  run = function(a)
    for i = 1, #a, 2 do
      if holds_claim(a[i], a[i + 1]) then call('ZADD', claims_of(me), claimed_until, a[i]) end
    end
    return {}
  end,
}

-- id, attempts, worked_s, when it may be claimed again, how many attempts it then has more: 1, or 0 when none was made
calls.retry = {
  run = function(a)
    if not holds_claim(a[1], a[2]) then return {} end
    call('HINCRBY', state_of(a[1]), 'attempts', a[5])
    call('HSET', state_of(a[1]), 'worked_s', a[3])
    give_back(a[1], me, tonumber(a[4]) > now and a[4])
    return {}
  end,
  show = function() return {call('ZCARD', REQUESTS)} end,
}

-- id, attempts, and so on for each
calls.release = {
  run = function(a)
    for i = 1, #a, 2 do
      if holds_claim(a[i], a[i + 1]) then give_back(a[i], me, false) end
    end
    return {}
  end,
  show = function() return {call('ZCARD', REQUESTS)} end,
}

-- id, attempts, status, topic, key, callback
calls.answer = {
  run = function(a)
    local id = a[1]
    if not holds_claim(id, a[2]) then return {0} end
    call('ZREM', claims_of(me), id)
    call('HSET', state_of(id), 'status', a[3], 'topic', a[4], 'key', a[5])
    call('SET', callback_of(id), a[6])
    call('ZADD', outbox_of(me), call('INCR', SEQUENCE), id)
    holds = true
    return {1}
  end,
}

-- ids, at most some hundreds, as Lua's unpack() allows
calls.published = {
  run = function(a)
    local done, stamps, outboxes, freed = {}, {}, {}, 0
    for _, id in ipairs(a) do
      local state = state_of(id)
      local status, owner, size, over = unpack(call('HMGET', state, 'status', 'owner', 'size', 'published'))
      if status and status ~= 'queued' and status ~= 'processing' and not over then
        call('HDEL', state, 'owner', 'topic', 'key', 'place', 'bundle', 'hint', 'expires_at', 'size', 'worked_s')
        call('HSET', state, 'published', 1)
        call('EXPIRE', state, remembered_s)
        call('EXPIRE', callback_of(id), remembered_s)
        done[#done + 1] = id
        stamps[#stamps + 1] = now
        stamps[#stamps + 1] = id
        outboxes[owner] = outboxes[owner] or {}
        table.insert(outboxes[owner], id)
        freed = freed + size
      end
    end
    if #done == 0 then return {} end
    for owner, ids in pairs(outboxes) do call('ZREM', outbox_of(owner), unpack(ids)) end
    call('HDEL', DATA, unpack(done))
    call('DECRBY', BYTES, freed)
    call('ZADD', OVER, unpack(stamps))
    published = published + #done
    return {}
  end,
}

-- ids
calls.set_aside = {
  run = function(a)
    for _, id in ipairs(a) do set_aside(id) end
    return {}
  end,
}

-- What takes the place of a call that nobody waits for any more.
calls.nothing = {}

calls.waiting = {
  show = function() return {call('ZCARD', REQUESTS)} end,
}

calls.depth = {
  show = function() return {call('ZCARD', EXPIRIES), call('HLEN', DATA), tonumber(call('GET', BYTES) or '0')} end,
}

-- id
calls.lookup = {
  show = function(_, a)
    local known = call('HMGET', state_of(a[1]), 'correlation_id', 'status', 'attempts', 'published')
    if not known[1] then return {} end
    return {known[1], known[2], known[3], known[4] and 1 or 0, call('GET', callback_of(a[1]))}
  end,
}
