//! What happened to a request, told by the real command from nothing but a log.

use std::path::Path;
use std::process::{Command, Output, Stdio};

use serde_json::Value;

fn why(arguments: &[&str], input: &str) -> Output {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("input");
    std::fs::write(&file, input).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_stent"));
    let input = Stdio::from(std::fs::File::open(file).unwrap());
    command.arg("why").args(arguments).stdin(input).output().expect("it runs")
}

/// What it says of a line.
fn told(line: &str) -> String {
    let output = why(&["abc", "--log", "-"], &format!("not json abc\n{line}\n"));
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// What it says of a `Cache-Status`, on the command line alone.
fn status(line: &str) -> String {
    let output = why(&[line, "--config", "there-is-none.yaml"], "");
    assert!(output.status.success(), "{line}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn a_cache_status_is_told_by_itself() {
    for (line, wants) in [
        ("stent; hit; ttl=59", &["hit: the store had", "ttl=59: fresh for 59s more"][..]),
        ("stent; hit; ttl=-5; detail=stale-while-revalidate", &["fetched anew behind", "over its lifetime since 5s"]),
        (
            "stent; hit; ttl=-10; detail=\"stale-if-error timeout\"",
            &["`stale_if_error` let", "reason `timeout`: `timeout` or `deadline` passed"],
        ),
        ("stent; fwd=stale; ttl=-10; detail=\"stale-if-error reset\"", &["`stale_if_error` let", "reason `reset`"]),
        (
            "Cache-Status: stent; fwd=stale; fwd-status=200; stored; ttl=60; detail=ceiling",
            &["miss: what is stored could not", "reason `ceiling`", "fwd-status=200: the status", "stored: the origin"],
        ),
        ("cache-status:stent;fwd=stale;fwd-status=304;detail=stale", &["revalidated: the origin", "a longer `ttl`"]),
        ("stent; fwd=request; fwd-status=200; ttl=60; detail=request-no-cache", &["revalidated:", "`no-cache`"]),
        (
            "stent; fwd=stale; fwd-status=200; stored; ttl=-3540; detail=\"origin-clock 3600\"",
            &[
                "miss: what is stored could not",
                "reason `origin-clock`: its `Date` alone",
                "clock is 1h behind",
                "set the",
            ],
        ),
        ("stent; fwd=stale; fwd-status=304; ttl=-9; detail=\"origin-clock 69\"", &["revalidated:", "is 1m 9s behind"]),
        (
            "stent; fwd=stale; fwd-status=200; stored; ttl=1; detail=s-maxage",
            &["`s-maxage` closes", "`max-age` in place"],
        ),
        ("stent; fwd=request; detail=request-no-store", &["pass: it went to the origin", "`no-store`"]),
        ("stent; fwd=uri-miss; fwd-status=200; stored; collapsed", &["collapsed: another request was fetching"]),
        (
            "stent; fwd=uri-miss; fwd-status=200; detail=set-cookie",
            &["miss: nothing was stored", "not kept `set-cookie`"],
        ),
        ("stent; fwd=uri-miss; fwd-status=200; detail=stored-if-it-fits", &["its length was not known yet"]),
        ("stent; fwd=vary-miss; fwd-status=200; stored", &["made for other request headers, so the origin"]),
        ("stent; fwd=miss; fwd-status=200; stored; detail=purged", &["reason `purged`: purged since"]),
        ("stent; fwd=miss; detail=head-not-stored; fwd-status=200", &["pass:", "HEAD, and nothing is stored"]),
        ("stent; fwd=bypass; detail=unknown-cookie; fwd-status=200", &["pass:", "identity.ignore_cookies"]),
        ("stent; fwd=method; fwd-status=201", &["pass:", "it is neither GET nor HEAD"]),
        ("stent; fwd=stale; detail=timeout", &["failed: the origin gave no answer", "`deadline` passed"]),
        ("stent; fwd=method; detail=connect-failed", &["failed: the origin gave no answer", "nobody listens"]),
        ("stent; fwd=method; detail=name-lookup", &["failed: the origin gave no answer", "resolver gave none"]),
        ("stent; detail=no-route", &["refused: Stent answered by itself", "no route takes it"]),
        ("stent; detail=only-if-cached", &["refused:", "from the store only"]),
        ("stent; detail=purged", &["purged: it was a PURGE"]),
        (
            "\"Origin Shield\"; hit, stent; fwd=uri-miss; fwd-status=200; stored, cdn; hit; ttl=3",
            &["miss: nothing was stored", "another cache: \"Origin Shield\"; hit\n", "another cache: cdn; hit; ttl=3"],
        ),
        (
            "stent; fwd=tomorrow; detail=of-tomorrow; colour=red; weight=1.5",
            &[
                "not known to this version",
                "`of-tomorrow`: not known",
                "fwd=tomorrow: went to the origin, for a reason that is not",
                "colour=red: not known",
                "weight=…: not known",
            ],
        ),
        ("stent", &["not known to this version"]),
    ] {
        let told = status(line);
        wants.iter().for_each(|want| assert!(told.contains(want), "{line}\n{want}:\n{told}"));
    }
    let output = why(&["stent; fwd=uri-miss; fwd-status=200; detail=set-cookie", "--json"], "");
    let told: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(told[0]["member"], "stent; fwd=uri-miss; fwd-status=200; detail=set-cookie");
    assert_eq!(told[0]["parameters"].as_array().map(Vec::len), Some(3));
    assert_eq!(told[0]["why"][0], "not kept `set-cookie`: it sets a cookie");
}

#[test]
fn what_is_no_cache_status_of_ours_is_said_to_be_so() {
    for (line, want) in [
        ("cdn; hit, \"other\"; fwd=miss", "nothing in that line is from Stent; it is from: cdn, other"),
        ("Cache-Status: cdn", "it is from: cdn"),
        ("stent; HIT", "that is no Cache-Status line"),
        ("Cache-Status: stent hit", "that is no Cache-Status line"),
        ("Cache-Status: \u{1b}[2J; hit", "that is no Cache-Status line"),
        ("X-Cache: stent; hit", "that is no Cache-Status line"),
    ] {
        assert!(refused(&[line]).contains(want), "{line}");
    }
}

#[test]
fn no_terminal_obeys_what_else_is_in_the_stream() {
    let text = told(
        r#"{"id":"abc","outcome":"hit","route":"r","method":"GET","path":"/\u001b]0;evil\u0007\u009b2J","time":"t"}"#,
    );
    assert!(text.contains("evil") && !text.chars().any(|c| c.is_control() && c != '\n'), "{text:?}");
}

/// Why it cannot say anything.
fn refused(arguments: &[&str]) -> String {
    let output = why(arguments, "");
    assert_eq!(output.status.code(), Some(1), "{}", String::from_utf8_lossy(&output.stdout));
    String::from_utf8(output.stderr).unwrap()
}

fn line(fields: &str) -> String {
    format!(
        "{{\"time\":\"2026-11-21T14:15:03.123Z\",\"level\":\"info\",\"id\":\"abc\",\"method\":\"GET\",\"route\":\"patient\",\
         \"path\":\"/patients/<id>\",\"status\":200,{fields},\"bytes\":7,\"protocol\":\"HTTP/1.1\",\"worker\":0}}"
    )
}

#[test]
fn it_says_what_happened_and_what_to_do() {
    let check = |fields: &str, wants: &[&str]| {
        let told = told(&line(fields));
        wants.iter().for_each(|want| assert!(told.contains(want), "{want}:\n{told}"));
    };
    check(
        "\"outcome\":\"miss\",\"reason\":\"purged\",\"not_stored\":\"set-cookie\",\"total_ms\":80.000,\"head_ms\":75.000,\
         \"wait_ms\":0.500,\"origin_ms\":70.000,\"stalled_ms\":4.000",
        &[
            "request abc at 2026-11-21T14:15:03.123Z: GET /patients/<id> (route patient), answered 200 with 7 bytes",
            "miss: what is stored could not be used",
            "reason `purged`: purged since its fetch began",
            "not kept `set-cookie`: it sets a cookie",
            "let the origin set cookies on routes of their own",
            " 0.500 ms waiting for a connection",
            " 70.000 ms until the origin's head came",
            " 4.500 ms in the proxy itself",
            " 4.000 ms of the body, waiting for the origin",
            " 1.000 ms of the body, sending it to the client",
            " 80.000 ms in all",
        ],
    );
    check("\"outcome\":\"hit\",\"ttl\":3,\"total_ms\":0.04", &["hit: the store had a fresh answer", "0.040 ms in all"]);
    check(
        "\"outcome\":\"pass\",\"reason\":\"unknown-cookie\",\"total_ms\":3,\"cut\":\"client\"",
        &["neither part of the principal nor ignored", "identity.ignore_cookies", "did not take all"],
    );
    check("\"outcome\":\"stale\",\"reason\":\"timeout\",\"total_ms\":3", &["`stale_if_error`", "`deadline` passed"]);
    check(
        "\"outcome\":\"collapsed\",\"wait_ms\":2,\"total_ms\":3",
        &["2.000 ms waiting for the fetch of another request"],
    );
    check("\"outcome\":\"refused\",\"reason\":\"encoded-slash\",\"total_ms\":0", &["reason `encoded-slash`: `%2F`"]);
    check(
        "\"outcome\":\"pass\",\"reason\":\"of-tomorrow\",\"total_ms\":0",
        &["`of-tomorrow`: not known to this version; see docs/reference/reasons.md"],
    );
}

#[test]
fn it_is_json_for_programs() {
    let output =
        why(&["abc", "--log", "-", "--json"], &line("\"outcome\":\"pass\",\"reason\":\"no-policy\",\"total_ms\":3"));
    let all: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(all[0]["line"]["reason"], "no-policy");
    assert_eq!(all[0]["why"][0], "reason `no-policy`: the route has no policy");
    assert!(all[0]["advice"][0].as_str().unwrap().contains("`policy`"), "{all}");
}

#[test]
fn it_looks_where_the_configuration_says_and_in_the_file_before() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let write = |name: &str, text: &str| std::fs::write(Path::new(&at(name)), text).unwrap();
    let config = |log: &str| {
        let rest = "upstreams: {a: {servers: [http://127.0.0.1:1]}}\nroutes: [{name: rest, path: /**}]\n";
        write("proxy.yaml", &format!("{log}\n{rest}"));
    };
    let config_arguments = ["abc", "--config", &at("proxy.yaml")];
    config("log: {access: {file: access.log}}");
    assert!(refused(&config_arguments).contains("reading "), "there is no file yet");
    write("access.log", &line("\"outcome\":\"hit\",\"total_ms\":1").replace("abc", "abcd"));
    assert!(refused(&config_arguments).contains("no request abc in the log"));
    write("access.log.1", &line("\"outcome\":\"hit\",\"total_ms\":1"));
    assert!(why(&config_arguments, "").status.success());
    config("log: {access: stdout}");
    assert!(refused(&config_arguments).contains("pipe it into --log -"));
    config("");
    assert!(refused(&config_arguments).contains("write log: {access: {file: access.log}}"));
    assert!(refused(&["abc", "--config", &at("nowhere.yaml")]).contains("say --log FILE"));
    assert!(why(&["abc", "--log", &at("access.log")], "").status.success());
}
