//! What the commands that explain print, for people and for programs.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/explain")
}

/// Runs it among the configurations of this test, without colours and without an environment that they could take up.
fn stent(arguments: &[&str], input: &str) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_stent"));
    for name in ["STENT_LISTEN", "STENT_ADMIN", "STENT_MODE", "STENT_UPSTREAM", "STENT_TOKEN"] {
        command.env_remove(name);
    }
    command.current_dir(folder()).env("NO_COLOR", "1").args(arguments);
    let mut child =
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("it runs");
    // Whoever reads no input may have ended by now.
    let _ = child.stdin.take().expect("piped").write_all(input.as_bytes());
    child.wait_with_output().expect("it ends")
}

fn printed(arguments: &[&str]) -> String {
    let output = stent(arguments, "");
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("text")
}

fn snapshots() -> insta::Settings {
    let mut settings = insta::Settings::clone_current();
    settings.set_snapshot_path("explain/snapshots");
    settings.set_prepend_module_to_snapshot(false);
    settings.set_omit_expression(true);
    settings
}

fn pretty(json: &str) -> String {
    let value: serde_json::Value = serde_json::from_str(json).expect("JSON");
    format!("{value:#}")
}

#[test]
fn a_request_for_a_record() {
    let request = [
        "explain",
        "GET",
        "http://clinic.example/api/patients/?page_size=9999&utm_source=mail&page=2",
        "-H",
        "Cookie: sessionid=hunter2; csrftoken=hunter2",
        "-H",
        "User-Agent: curl",
        "-H",
        "X-Forwarded-For: 192.0.2.1",
        "--config",
        "clinic.yaml",
    ];
    let page = printed(&request);
    let json = printed(&[&request[..], &["--json"]].concat());
    assert!(!page.contains("hunter2") && !json.contains("hunter2"), "{page}\n{json}");
    snapshots().bind(|| {
        insta::assert_snapshot!("record", page);
        insta::assert_snapshot!("record-json", pretty(&json));
    });
}

#[test]
fn a_request_that_is_passed_one_that_writes_and_one_for_a_file() {
    let pages = [
        &["explain", "GET", "/", "-H", "Cookie: theme=hunter2; lang=hunter2"][..],
        &["explain", "PUT", "/api/encounters/3", "-H", "Authorization: hunter2"],
        &["explain", "GET", "https://clinic.example/static/app.3f2a91bc.css", "-H", "Accept-Encoding: br"],
        &["explain", "GET", "/static/..%2fapi"],
        &["explain", "DELETE", "/Server-Status/x"],
        &["explain", "HEAD", "/static/app.css"],
        &["explain", "GET", "/api/encounters/3", "-H", "Authorization: hunter2"],
        &["explain", "GET", "/", "--at", "2026-11-21T15:00:00+01:00"],
    ];
    let pages: Vec<String> =
        pages.iter().map(|arguments| printed(&[arguments, &["-c", "clinic.yaml"][..]].concat())).collect();
    let pages = pages.join("\n");
    assert!(!pages.contains("hunter2"), "{pages}");
    snapshots().bind(|| insta::assert_snapshot!("others", pages));
}

#[test]
fn credentials_may_come_from_standard_input() {
    let request = ["explain", "GET", "/api/patients/7", "-H", "@-", "-c", "clinic.yaml", "--json"];
    let output = stent(&request, "Authorization: Bearer hunter2\n\nAccept: text/html\n");
    let told: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!(told["partition"]["shown"], serde_json::json!(["authorization"]));
    assert!(!String::from_utf8_lossy(&output.stdout).contains("hunter2"));
}

#[test]
fn what_cannot_be_asked_is_an_error_that_repeats_nothing() {
    for arguments in [
        &["explain", "GET", "/", "-H", "hunter2"][..],
        &["explain", "GET", "/", "-H", "hunter2: \u{1}"],
        &["explain", "GET", "ftp://hunter2/"],
        &["explain", "G T", "/"],
        &["explain", "GET", "/", "-H", "@hunter2-is-no-file"],
        &["explain", "GET", "/", "--at", "hunter2"],
        &["explain", "GET", "/", "--at", "-hunter2"],
        &["explain", "GET", "/", "--admin", "127.0.0.1:1", "-H", "Authorization: hunter2"],
        &["explain"],
    ] {
        let output = stent(&[arguments, &["-c", "clinic.yaml"][..]].concat(), "");
        assert_eq!(output.status.code(), Some(1), "{arguments:?}");
        assert!(!output.stderr.is_empty() && output.stdout.is_empty(), "{arguments:?}");
        assert!(!String::from_utf8_lossy(&output.stderr).contains("hunter2"), "{arguments:?}");
    }
    let missing = stent(&["explain", "GET", "/", "-c", "nothing.yaml"], "");
    assert_eq!(missing.status.code(), Some(1));
}

#[test]
fn one_page_for_a_security_officer() {
    let page = printed(&["audit", "-c", "clinic.yaml"]);
    let json = printed(&["audit", "-c", "clinic.yaml", "--json"]);
    snapshots().bind(|| {
        insta::assert_snapshot!("audit", page);
        insta::assert_snapshot!("audit-json", pretty(&json));
    });
    assert_eq!(stent(&["audit", "-c", "nothing.yaml"], "").status.code(), Some(1));
}

#[test]
fn a_page_for_tokens_names_them_and_shows_none() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("proxy.yaml");
    let text = "admin: {listen: 127.0.0.1:9090, tokens: {app: {token: hunter2-hunter2-hunter2, may: [purge]}}}\n\
                identity: {principal: [header.x-api-key]}\nserver: {trusted_proxies: [0.0.0.0/0]}\n\
                upstreams: {app: {servers: [http://127.0.0.1:8000]}}\npolicies: {own: {share: principal, ttl: 5m}}\n\
                routes: [{name: all, path: /**, policy: own}]\n";
    std::fs::write(&file, text).expect("writable");
    let page = printed(&["audit", "-c", file.to_str().expect("text")]);
    assert!(!page.contains("hunter2"), "{page}");
    for said in [
        "may purge   the token app",
        "may read    none",
        "trusts everybody",
        "no `ceiling`",
        "signing out",
        "refused     none (refuse)",
        "[loopback-pages]",
    ] {
        assert!(page.contains(said), "{said}:\n{page}");
    }
}

const COUPLED: &str = "\
identity: {principal: [authorization, cookie.sessionid], ignore_headers: [x-build, x-theme-*], url_credentials: [visit_*], secret_fields: [x-visit-key]}
upstreams: {app: {servers: [http://127.0.0.1:8000]}}
policies:
  own: {share: principal, ttl: 1m, ceiling: 5m, touch: 5m}
  chart: {share: permitted, access: {ask: /authz/<id>, yes: {json: result.allowed}, for: 60s}, ttl: 1m, ceiling: 1m}
  news: {share: public, ttl: 1m, override: true}
routes:
  - {name: leave, path: /leave, tags: [leaving], purges: [principal, 'wards:<query.ward>']}
  - {name: orders, path: /orders/**, settle: 5s}
  - {name: chart, path: /charts/<id>, policy: chart, tags: ['chart:<id>'], settle: 10s}
  - {name: patient, path: /patients/<id>, policy: own, tags: ['patient:<id>']}
  - {name: news, path: /news/**, policy: news}
  - {name: feed, path: /feed/**, policy: rfc9111}
  - {name: rest, path: /**}
";

#[test]
fn what_couples_people_is_named_and_no_credential_is_told() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("proxy.yaml");
    std::fs::write(&file, COUPLED).expect("writable");
    let file = file.to_str().expect("text");
    let session = ["-H", "Cookie: sessionid=hunter2"];
    let asked: &[(&[&str], &[&str])] = &[
        (
            &[
                "GET",
                "/patients/7",
                "-H",
                "X-Active-Role: hunter2",
                "-H",
                "X-User: a",
                "-H",
                "X-Build: 7",
                "-H",
                "X-Theme-A: b",
            ],
            &["passed (unknown-header)", "keyed nor ignored: x-active-role, x-user\n"],
        ),
        (
            &["GET", "/patients/7;jsessionid=hunter2?access_token=hunter2;sid=hunter2&page=2"],
            &[
                "passed (url-credential)",
                ": jsessionid, access_token, sid\n",
                "GET http://localhost/patients/7;jsessionid=*?access_token=*;sid=*&page=2\n",
            ],
        ),
        (&["PUT", "/patients/7;jsessionid=hunter2"], &["purges      patient:7;jsessionid=*, and its path\n"]),
        (&["GET", "/(S(hunter2))/orders.aspx"], &["http://localhost/(*)/orders.aspx\n"]),
        (&["GET", "/news/1?visit_id=hunter2"], &["passed (url-credential)", ": visit_id\n"]),
        (&["GET", "/feed/1?token=hunter2"], &["query           token=*\n", "GET /feed/1?token=*  of app"]),
        (&["GET", "/patients/%ZZ?token=hunter2"], &["refused (broken-percent-encoding)", "/patients/%ZZ?token=*\n"]),
        (
            &["GET", "/patients/7", "-H", "X-Requested-With: XMLHttpRequest"],
            &["              x-requested-with (its value)\n", "with accept, x-requested-with (keyed)\n"],
        ),
        (
            &["GET", "/leave?ward=3"],
            &[
                "purges      wards:3, principal, although it only reads: its route has no policy, so its `purges` hold for every method\n",
            ],
        ),
        (&["POST", "/leave?ward=3"], &["purges      leaving, wards:3, principal, and its path\n"]),
        (&["GET", "/orders/1"], &["passed (no-policy)"]),
    ];
    for (request, wanted) in asked {
        let arguments = [&["explain"][..], request, &session, &["-c", file]].concat();
        let page = printed(&arguments);
        let json = printed(&[&arguments[..], &["--json"]].concat());
        assert!(!page.contains("hunter2") && !json.contains("hunter2"), "{page}\n{json}");
        wanted.iter().for_each(|wanted| assert!(page.contains(wanted), "{wanted}\n{page}"));
    }
    let page = printed(&["explain", "GET", "/orders/1", "-c", file]);
    assert!(!page.contains("purges"), "{page}");
}

#[test]
fn what_couples_people_is_audited() {
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::write(folder.path().join("proxy.yaml"), COUPLED).expect("writable");
    let mut command = Command::new(env!("CARGO_BIN_EXE_stent"));
    let output = command.current_dir(folder.path()).env("NO_COLOR", "1").arg("audit").output().expect("it runs");
    snapshots().bind(|| insta::assert_snapshot!("audit-coupled", String::from_utf8_lossy(&output.stdout)));
}

#[test]
fn a_least_rate_of_nothing_is_worth_a_word() {
    for (rate, warned) in [("off", true), ("1KiB", false), ("2KiB", false)] {
        let folder = tempfile::tempdir().expect("a folder");
        let text = format!(
            "server: {{listen: 127.0.0.1:0, limits: {{min_rate: {rate}}}}}\n\
             upstreams: {{app: {{servers: [\"http://127.0.0.1:1\"]}}}}\nroutes: [{{name: rest, path: /**}}]\n"
        );
        std::fs::write(folder.path().join("proxy.yaml"), text).expect("writable");
        let mut command = Command::new(env!("CARGO_BIN_EXE_stent"));
        let output = command.current_dir(folder.path()).env("NO_COLOR", "1").arg("audit").output().expect("it runs");
        let page = String::from_utf8(output.stdout).expect("text");
        assert!(page.contains("app") || page.contains("rest"), "{page}");
        assert_eq!(page.contains("min_rate"), warned, "{rate}: {page}");
    }
}

#[test]
fn what_widens_is_said_and_ends_with_2() {
    let output = stent(&["diff", "clinic.yaml", "wider.yaml"], "");
    assert_eq!(output.status.code(), Some(2));
    let page = String::from_utf8(output.stdout).expect("text");
    let json = stent(&["diff", "clinic.yaml", "wider.yaml", "--json"], "");
    assert_eq!(json.status.code(), Some(2));
    snapshots().bind(|| {
        insta::assert_snapshot!("diff", page);
        insta::assert_snapshot!("diff-json", pretty(&String::from_utf8_lossy(&json.stdout)));
    });
}

#[test]
fn what_widens_nothing_ends_with_0_and_what_cannot_be_told_with_1() {
    assert_eq!(printed(&["diff", "clinic.yaml", "clinic.yaml"]), "Nothing changes.\n");
    for arguments in [&["diff", "clinic.yaml", "nothing.yaml"][..], &["diff", "clinic.yaml"], &["diff", "--wrong"]] {
        assert_eq!(stent(arguments, "").status.code(), Some(1), "{arguments:?}");
    }
}
