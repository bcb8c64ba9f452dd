# What is built in judges, but that cookies are no credentials by the letter of the RFC, and stale answers are used as the origin
# allows and not for ten seconds more.
vcl 4.1;

backend origin {
    .host = "127.0.0.1";
    .port = "@origin_port@";
}

sub vcl_recv {
    if (req.method != "GET" && req.method != "HEAD") {
        return (pass);
    }
    if (req.http.Authorization) {
        return (pass);
    }
    return (hash);
}

# As built in, but that what is stale when it comes is kept where it can be validated, or used while it is.
sub vcl_backend_response {
    if (beresp.http.Cache-Control !~ "(?i)stale-while-revalidate") {
        set beresp.grace = 0s;
    }
    if (beresp.http.ETag || beresp.http.Last-Modified) {
        set beresp.keep = 10m;
    }
    if (bereq.uncacheable) {
        return (deliver);
    }
    if (beresp.http.Cache-Control ~ "(?i)(?:no-cache|no-store|private)" || beresp.http.Vary ~ "[*]"
        || (beresp.ttl <= 0s && beresp.grace + beresp.keep <= 0s)) {
        set beresp.ttl = 120s;
        set beresp.uncacheable = true;
    }
    return (deliver);
}
