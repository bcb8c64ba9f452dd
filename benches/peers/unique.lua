-- A path that was never asked for before with every request. The argument sets one run apart from the others.
local head, tail, count

function init(arguments)
    head = "GET " .. wrk.path .. "/" .. arguments[1] .. "-"
    tail = " HTTP/1.1\r\nHost: " .. wrk.headers["Host"] .. "\r\n\r\n"
    count = 0
end

function request()
    count = count + 1
    return head .. count .. tail
end
