-- This file runs many calls in one script, each carried out once however often the script is sent.
--
-- ARGV is a head of 13, then for each call its name, how many arguments it has, and these. An instance numbers its
-- scripts and sends the next one when it has the reply of the last. A script whose reply was lost comes again under its
-- number: then nothing is run, and replies are made from what was written down. One with a lower number was held up on a
-- connection that has been given up since, and does nothing.

local REPLY = PREFIX .. ':reply:' .. me
local stored = call('GET', REPLY)
local last_number, outcomes = 0, {}
if stored then last_number, outcomes = unpack(cmsgpack.unpack(stored)) end
if number < last_number then return redis.error_reply('OUTDATED a later script was run') end
local repeated = number == last_number
if not repeated then outcomes = {} end

local asked, at = {}, FIRST_CALL
while at <= #ARGV do
  local count = tonumber(ARGV[at + 1])
  local arguments = {}
  for i = 1, count do arguments[i] = ARGV[at + 1 + i] end
  asked[#asked + 1] = {calls[ARGV[at]], arguments}
  at = at + 2 + count
end

-- One call that fails on what it finds stored must not hold up the others for ever: 1 and what it returned, or 0 and why.
local function attempt(f, ...)
  local done, outcome = pcall(f, ...)
  if done then return {1, outcome} end
  return {0, type(outcome) == 'table' and outcome.err or tostring(outcome)}
end

local has_run = false
local replies = {}
for i, one in ipairs(asked) do
  local this, arguments = one[1], one[2]
  if this.run and not repeated then
    outcomes[i] = attempt(this.run, arguments)
    has_run = true
  end
  local outcome = outcomes[i] or {1, {}}
  outcomes[i] = outcome
  replies[i] = outcome[1] == 1 and this.show and attempt(this.show, outcome[2], arguments) or outcome
end

if published > 0 then trim(published) end
if holds then
  call('SADD', OWNERS, me)
  call('SET', life_of(me), 1, 'PX', owner_ttl_ms)
end
if has_woken and call('ZCARD', REQUESTS) > 0 then call('PUBLISH', PREFIX .. ':waiting', me) end
if has_run then
  -- A day: longer than that nobody goes on repeating a call.
  call('SET', REPLY, cmsgpack.pack({number, outcomes}), 'EX', 86400)
end
return replies
