-- Names another voucher or customer in each request; bench/load.py gives the arguments and reads
-- the line that done() writes. bench/fill.py makes the vouchers by the same numbers.

local threads = {}

function setup(thread)
   thread:set("place", #threads)
   table.insert(threads, thread)
end

function init(args)
   method, path, body, idempotency_key = args[1], args[2], args[3], args[4]
   letter, count, per_customer = args[5], tonumber(args[6]), tonumber(args[7])
   start, step = tonumber(args[8]), tonumber(args[9])
   stride, factor, modulus = tonumber(args[10]), tonumber(args[11]), tonumber(args[12])
   most = tonumber(args[13])
   made = 0
end

function request()
   local turn = start + made * step + place
   made = made + 1
   if made >= most then
      wrk.thread:stop()
   end
   local number = turn * stride % count
   local values = {
      code = string.format("%s%011d", letter, number * factor % modulus),
      email = string.format("%s%d@example.org", letter:lower(), math.floor(number / per_customer)),
   }
   if idempotency_key ~= "" then
      wrk.headers["Idempotency-Key"] = idempotency_key .. turn
   end
   local filled = body:gsub("%$(%a+)", values)
   return wrk.format(method, path:gsub("%$(%a+)", values), wrk.headers, filled)
end

function done(summary, latency, requests)
   local longest = 0
   for _, thread in ipairs(threads) do
      longest = math.max(longest, thread:get("made"))
   end
   local errors = summary.errors
   io.write(string.format(
      '\n{"requests":%d,"seconds":%.6f,"p50":%.6f,"p99":%.6f,"refused":%d,"broken":%d,"made":%d}\n',
      summary.requests, summary.duration / 1e6,
      latency:percentile(50) / 1e3, latency:percentile(99) / 1e3, errors.status,
      errors.connect + errors.read + errors.write + errors.timeout, longest))
end
