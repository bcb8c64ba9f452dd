# What is under /bytes/ is kept for an hour, and the origin is told what Stent tells it. Varnish adds X-Forwarded-For itself.
vcl 4.1;

backend origin {
    .host = "@origin_host@";
    .port = "@origin_port@";
}

sub vcl_recv {
    if (req.url ~ "^/pass/") {
        return (pass);
    }
    return (hash);
}

sub vcl_backend_fetch {
    set bereq.http.X-Forwarded-Proto = "http";
    set bereq.http.X-Forwarded-Host = bereq.http.Host;
    set bereq.http.Forwarded = "for=" + bereq.http.X-Forwarded-For + {";host=""} + bereq.http.Host + {"";proto=http"};
    set bereq.http.Via = "1.1 varnish";
    set bereq.http.X-Request-Id = bereq.xid;
    return (fetch);
}

sub vcl_backend_response {
    if (bereq.url ~ "^/bytes/") {
        set beresp.ttl = 1h;
    }
    return (deliver);
}
