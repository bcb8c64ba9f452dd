//! Nothing that a request or an answer says comes out where others read: the real program, with identifiers planted in every
//! place that a request has, and then a look at its log, its messages, its metrics and its error pages.

use std::fs::File;
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::scenario::{Client, LIMIT, Origin, Reply, answer};

/// What is looked for, in any case.
const PLANTED: &str = "planted";

/// The program, with its output in files.
struct Program {
    child: Child,
    address: SocketAddr,
    admin: SocketAddr,
    folder: tempfile::TempDir,
}

impl Program {
    async fn start(yaml: &str) -> Program {
        let folder = tempfile::tempdir().unwrap();
        let config = folder.path().join("proxy.yaml");
        std::fs::write(&config, yaml).unwrap();
        let file = |name: &str| File::create(folder.path().join(name)).unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_stent"));
        command.args(["run", "--config"]).arg(config).stdin(Stdio::null());
        let child = command.stdout(file("out")).stderr(file("err")).spawn().unwrap();
        let mut program = Program { child, address: ([0; 4], 0).into(), admin: ([0; 4], 0).into(), folder };
        let until = std::time::Instant::now() + LIMIT;
        while program.admin.port() == 0 {
            let said = program.read("err");
            let address = |what: &str| said.lines().find_map(|line| line.strip_prefix(what)?.parse().ok());
            program.address = address("stent: listening on http://").unwrap_or(program.address);
            program.admin = address("stent: admin on http://").unwrap_or(program.admin);
            assert!(std::time::Instant::now() < until, "it does not start: {said}");
            tokio::task::yield_now().await;
        }
        program
    }

    fn read(&self, name: &str) -> String {
        String::from_utf8_lossy(&std::fs::read(self.folder.path().join(name)).unwrap()).into_owned()
    }

    /// Stops it as an operator does; what it wrote.
    async fn stop(mut self) -> [String; 2] {
        let told = Command::new("sh").args(["-c", "kill -TERM \"$0\"", &self.child.id().to_string()]).status();
        assert!(told.is_ok_and(|status| status.success()));
        let until = std::time::Instant::now() + LIMIT;
        while self.child.try_wait().unwrap().is_none() {
            assert!(std::time::Instant::now() < until, "it ends");
            tokio::task::yield_now().await;
        }
        ["out", "err"].map(|name| self.read(name))
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn yaml(origin: SocketAddr, garbage: SocketAddr, gone: SocketAddr, include: &str) -> String {
    format!(
        "server: {{listen: 127.0.0.1:0, workers: 1, timing: true, limits: {{body: 1KiB}}}}
admin: {{listen: 127.0.0.1:0}}
log: {{access: stdout, slow: 100ms{include}}}
identity: {{principal: [authorization, cookie.sessionid], ignore_cookies: [ignored], ignore_headers: [x-planted, x-keyed]}}
upstreams:
  origin: {{servers: [\"http://{origin}\"], timeout: 300ms, deadline: 400ms}}
  garbage: {{servers: [\"http://{garbage}\"]}}
  gone: {{servers: [\"http://{gone}\"]}}
policies:
  own: {{share: principal, ttl: 5m, vary: {{headers: [x-keyed]}}}}
  page: {{share: public, ttl: 5m}}
routes:
  - {{name: own, path: /own/<id>, upstream: origin, policy: own, tags: [\"own:<id>\", \"name:<answer.name>\"], purges: [\"sent:<sent.name>\"]}}
  - {{name: page, path: /page/<id>, upstream: origin, policy: page}}
  - {{name: tenant, path: /tenant/**, host: <tenant>.clinic.example, upstream: origin}}
  - {{name: garbage, path: /garbage/**, upstream: garbage}}
  - {{name: gone, path: /gone/**, upstream: gone}}
  - {{name: api, path: /api/**, upstream: origin}}
"
    )
}

/// Answers with identifiers wherever an answer can have them.
async fn origin() -> Origin {
    Origin::start(|seen| async move {
        let headers = [
            ("x-planted", "planted-in-a-header"),
            ("set-cookie", "planted=cookie"),
            ("surrogate-key", "planted-tag"),
            ("location", "/own/planted-location"),
            ("etag", "\"planted-etag\""),
        ];
        let named = "{\"name\": \"planted-name\"}";
        match seen.path() {
            "/own/planted" => answer(200, &headers[2..], named),
            "/page/planted" => answer(200, &headers[4..], "planted page"),
            "/api/late" => std::future::pending().await,
            _ => answer(200, &headers, "planted body"),
        }
    })
    .await
}

/// Somebody who answers what is no HTTP.
async fn garbage() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut room = [0; 4096];
            let _ = stream.read(&mut room).await;
            let _ = stream.write_all(b"planted is no status line\r\n\r\n").await;
        }
    });
    address
}

/// Sends bytes as they are, and reads until the other side closes.
async fn raw(address: SocketAddr, bytes: &str) -> String {
    let exchange = async {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(bytes.as_bytes()).await.unwrap();
        let mut all = Vec::new();
        let _ = stream.read_to_end(&mut all).await;
        String::from_utf8_lossy(&all).into_owned()
    };
    tokio::time::timeout(LIMIT, exchange).await.expect("it closes")
}

fn has_planted(text: &str) -> bool {
    text.to_ascii_lowercase().contains(PLANTED)
}

fn whole(reply: &Reply) -> String {
    format!("{:?}\n{}", reply.headers, reply.text())
}

/// A request with identifiers wherever a request can have them.
fn planted(client: Client, method: &str, target: &str) -> crate::scenario::Asking {
    let asking = client.ask(method, target);
    asking
        .header("x-planted", "planted-in-a-header")
        .header("x-keyed", "planted-and-keyed")
        .header("x-request-id", "planted-id")
        .header("x-forwarded-for", "planted.example")
        .header("referer", "http://planted.example/planted")
        .header("user-agent", "planted/1.0")
        .bearer("planted-token")
        .cookie("sessionid=planted-session; ignored=planted")
}

#[tokio::test]
async fn nothing_planted_comes_out() {
    let (origin, garbage) = (origin().await, garbage().await);
    let gone = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let program = Program::start(&yaml(origin.address, garbage, gone, "")).await;
    let client = Client { address: program.address };
    let mut pages = Vec::new();

    // What the origin answers is its own affair; what it is answered with is looked at below.
    for (method, target, status) in [
        ("GET", "/own/planted?q=planted", 200),
        ("GET", "/own/planted?q=planted", 200),
        ("GET", "/page/planted?planted=1", 200),
        ("GET", "/page/planted?planted=1", 200),
        ("GET", "/api/planted?planted=planted", 200),
        ("PLANTED", "/api/planted", 200),
        ("PUT", "/own/planted?planted", 200),
        ("DELETE", "/api/planted/planted", 200),
        ("HEAD", "/own/planted-head", 200),
    ] {
        let body = if method == "PUT" { "{\"name\": \"planted\"}" } else { "" };
        let reply = planted(client, method, target).body(body).send().await;
        assert_eq!(reply.status, status, "{method} {target}");
    }
    let hit = planted(client, "GET", "/page/planted?planted=1").send().await;
    assert!(hit.is_hit(), "{}", hit.cache());
    let tenant = planted(client, "GET", "/tenant/x").header("host", "planted.clinic.example").send().await;
    assert_eq!(tenant.status, 200);

    for (method, target, status, body) in [
        ("GET", "/planted", 404, ""),
        ("GET", "/api/planted%2Fplanted", 400, ""),
        ("GET", "/gone/planted", 502, ""),
        ("GET", "/garbage/planted", 502, ""),
        ("POST", "/garbage/planted", 502, "planted"),
        ("GET", "/api/late?planted", 504, ""),
        ("POST", "/api/late?planted", 504, "planted"),
        ("POST", "/api/planted", 413, &"planted".repeat(200)),
    ] {
        for accept in ["text/html", "application/json"] {
            let asking = planted(client, method, target).header("accept", accept);
            let reply = asking.body(body.to_owned()).send().await;
            assert_eq!(reply.status, status, "{method} {target}");
            pages.push(whole(&reply));
        }
    }
    let only = planted(client, "GET", "/own/planted-only").header("cache-control", "only-if-cached").send().await;
    assert_eq!(only.status, 504);
    pages.push(whole(&only));
    for head in [
        "GET /planted HTTP/1.1\r\nHost: planted\r\nHost: planted\r\n\r\n",
        "GET /planted HTTP/1.1\r\nHost: planted\r\nX-Planted : planted\r\n\r\n",
        "GET http://planted/ HTTP/1.1\r\nHost: other\r\n\r\n",
        "POST /planted HTTP/1.1\r\nHost: planted\r\nContent-Length: 7\r\nTransfer-Encoding: chunked\r\n\r\nplanted",
        "POST /planted HTTP/1.1\r\nHost: planted\r\nTransfer-Encoding: planted\r\n\r\n",
        "GET /planted HTTP/1.1\r\nHost: planted\r\nExpect: planted\r\n\r\n",
        "CONNECT planted:443 HTTP/1.1\r\nHost: planted:443\r\n\r\n",
        "PLANTED planted planted\r\n\r\n",
    ] {
        pages.push(raw(program.address, head).await);
    }
    let admin = Client { address: program.admin };
    let purge = serde_json::json!({"tags": ["planted:1"], "urls": ["/planted"], "prefixes": ["/planted"]});
    pages.push(whole(&planted(admin, "POST", "/api/v1/purge").body(purge.to_string()).send().await));
    for (method, target) in [
        ("GET", "/planted"),
        ("PLANTED", "/api/v1/purge"),
        ("POST", "/api/v1/purge"),
        ("GET", "/metrics"),
        ("GET", "/api/v1/status"),
        ("GET", "/api/v1/routes"),
        ("GET", "/api/v1/upstreams"),
    ] {
        pages.push(whole(&planted(admin, method, target).body("planted").send().await));
    }
    let metrics = pages.iter().find(|page| page.contains("stent_requests_total")).expect("a page of metrics");
    assert!(metrics.contains("stent_request_seconds_bucket{route=\"own\""));
    pages.iter().for_each(|page| assert!(!has_planted(page), "{page}"));

    let [log, messages] = program.stop().await;
    for outcome in ["hit", "miss", "pass", "refused", "failed"] {
        assert!(log.contains(&format!("\"outcome\":\"{outcome}\"")), "{outcome}: {log}");
    }
    assert!(log.contains("\"level\":\"warn\"") && log.lines().count() >= 30, "{log}");
    assert!(log.contains("\"host\":\"<tenant>.clinic.example\"") && log.contains("\"method\":\"other\""), "{log}");
    assert!(messages.contains("stent: purge at epoch"), "{messages}");
    for text in [log, messages] {
        assert!(!has_planted(&text), "{text}");
    }
}

#[tokio::test]
async fn what_is_planted_would_be_found() {
    let (origin, garbage) = (origin().await, garbage().await);
    let text = yaml(origin.address, garbage, garbage, ", include: [path]");
    let program = Program::start(&text).await;
    let client = Client { address: program.address };
    assert_eq!(planted(client, "GET", "/api/planted").send().await.status, 200);
    let [log, _] = program.stop().await;
    assert!(has_planted(&log), "{log}");
}

#[tokio::test]
async fn what_is_slow_is_told_even_without_an_access_log() {
    let (origin, garbage) = (origin().await, garbage().await);
    let text = yaml(origin.address, garbage, garbage, "").replace("access: stdout, ", "");
    let program = Program::start(&text).await;
    let client = Client { address: program.address };
    assert_eq!(planted(client, "GET", "/api/planted").send().await.status, 200);
    assert_eq!(planted(client, "GET", "/api/late").send().await.status, 504);
    let [log, messages] = program.stop().await;
    assert_eq!(log, "");
    let late = messages.lines().find(|line| line.contains("\"status\":504")).expect("a line");
    assert!(late.contains("\"level\":\"warn\"") && late.contains("\"reason\":\"timeout\""), "{late}");
    assert!(!has_planted(&messages), "{messages}");
}
