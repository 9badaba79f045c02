-- For wrk: prints what it found as one line of JSON; with a number as an argument,
-- uploads a body of so many bytes instead of asking for an answer.

function init(arguments)
   if arguments[1] then
      wrk.method = "PUT"
      wrk.body = string.rep("x", tonumber(arguments[1]))
   end
end

function done(summary, latency, requests)
   local errors = summary.errors
   io.write(string.format(
      '{"requests": %d, "bytes": %d, "seconds": %.6f,' ..
      ' "p50_us": %d, "p99_us": %d, "p999_us": %d,' ..
      ' "connect": %d, "read": %d, "write": %d, "timeout": %d, "status": %d}\n',
      summary.requests, summary.bytes, summary.duration / 1e6,
      latency:percentile(50), latency:percentile(99), latency:percentile(99.9),
      errors.connect, errors.read, errors.write, errors.timeout, errors.status))
end
