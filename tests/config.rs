//! What a person sees who has written a configuration: every mistake, where it is, and what to write instead.

#[path = "it/authority.rs"]
mod authority;

use std::path::Path;

use self::authority::Authority;
use proptest::prelude::*;
use stent::config::message::MessageKind;
use stent::config::message::Severity;
use stent::config::selftest::{self, TestOutcome, TestRequest, TestVerdict};
use stent::config::{Loaded, Report, load, parse};

fn no_vars(_: &str) -> Option<String> {
    None
}

fn fixture(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/config").join(name);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{name}: {error}"))
}

fn names(folder: &str) -> Vec<String> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/config").join(folder);
    let entries = std::fs::read_dir(path).expect("the fixtures are in the repository");
    let mut names: Vec<String> =
        entries.map(|entry| entry.expect("readable").file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

fn refused(text: &str) -> Report {
    match parse("proxy.yaml", text, &no_vars) {
        Ok(_) => panic!("accepted:\n{text}"),
        Err(report) => report,
    }
}

fn accepted(text: &str) -> Loaded {
    parse("proxy.yaml", text, &no_vars).unwrap_or_else(|report| panic!("{report}"))
}

/// The smallest file with these policies and routes.
fn with(policies: &str, routes: &str) -> String {
    format!(
        "identity: {{principal: [authorization, cookie.sessionid]}}\n\
         upstreams: {{app: {{servers: [http://127.0.0.1:8000]}}}}\n\
         policies: {policies}\n\
         routes: {routes}\n"
    )
}

#[test]
fn every_broken_file_says_what_to_do() {
    let vars = |name: &str| (name == "TIMEOUT").then(|| "s3cret-value".to_owned());
    let mut settings = insta::Settings::clone_current();
    settings.set_snapshot_path("config/snapshots");
    settings.set_prepend_module_to_snapshot(false);
    settings.set_omit_expression(true);
    let files = names("broken");
    assert!(files.len() > 25);
    for file in files {
        let text = fixture(&format!("broken/{file}"));
        let Err(report) = parse(&file, &text, &vars) else { panic!("{file} was accepted") };
        let shown = report.to_string();
        for secret in ["hunter2", "correct-horse", "0123456789abcdef", "s3cret"] {
            assert!(!shown.contains(secret), "{file} shows a secret:\n{shown}");
        }
        settings.bind(|| insta::assert_snapshot!(file.trim_end_matches(".yaml"), shown));
    }
}

#[test]
fn twelve_mistakes_are_twelve_errors() {
    let report = refused(&fixture("broken/twelve.yaml"));
    assert_eq!(report.errors().count(), 12, "{report}");
    let mut lines: Vec<u32> = report.errors().map(|problem| problem.line).collect();
    assert!(lines.is_sorted());
    lines.dedup();
    assert_eq!(lines.len(), 12, "one per line:\n{report}");
}

#[test]
fn real_systems_need_only_what_is_not_available_yet() {
    let files = names("systems");
    assert_eq!(files.len(), 5);
    for file in files {
        let text = fixture(&format!("systems/{file}"));
        let Err(report) = parse(&file, &text, &no_vars) else {
            panic!("{file} was accepted: it uses what is not there yet")
        };
        // The files that they read are not on this machine.
        let file = |path: &str| path == "identity.jwt.keys.file" || path.starts_with("server.tls.certs[");
        assert!(report.errors().all(|problem| problem.kind == MessageKind::NotYet || file(&problem.path)), "{report}");
    }
}

#[test]
fn every_word_of_the_vocabulary_is_known() {
    let report = refused(&fixture("sketch.yaml"));
    for problem in report.errors() {
        // The files that the example reads are not on this machine.
        let secret = ["admin.tokens.django.token.file", "identity.jwt.keys.file", "server.tls.client_ca"]
            .contains(&problem.path.as_str())
            || problem.path.starts_with("server.tls.certs[");
        assert!(problem.kind == MessageKind::NotYet || secret, "{report}");
    }
    let refused = report.errors().filter(|problem| problem.kind == MessageKind::NotYet).count();
    assert!(refused > 20, "only {refused}:\n{report}");
}

#[test]
fn what_is_not_available_yet_stands_apart() {
    let only = refused(
        "include: [a.yaml]\nupstreams: {app: {servers: [http://127.0.0.1:8000]}}\nroutes: [{name: a, path: /a}]\n",
    );
    assert!(only.only_not_yet(), "{only}");
    let mixed =
        refused("include: [a.yaml]\nupstreams: {app: {servers: [http://127.0.0.1:8000]}}\nroutes: [{name: a}]\n");
    assert!(!mixed.only_not_yet(), "{mixed}");
}

#[test]
fn every_key_that_is_available_arrives() {
    let text = fixture("full.yaml");
    let loaded = parse("tests/config/full.yaml", &text, &|name| (name == "BIND").then(|| "127.0.0.1".to_owned()))
        .unwrap_or_else(|report| panic!("{report}"));
    let mut settings = insta::Settings::clone_current();
    settings.set_snapshot_path("config/snapshots");
    settings.set_prepend_module_to_snapshot(false);
    settings.set_omit_expression(true);
    settings.bind(|| insta::assert_snapshot!("full", format!("{:#?}\n{:#?}", loaded.settings, loaded.tests)));
    let admin = loaded.settings.admin.expect("the file has an admin section");
    assert_eq!(admin.tokens[0].secret, "a-token-from-a-file-0123456789");
    let warnings: Vec<_> = loaded.warnings.iter().map(|problem| problem.path.as_str()).collect();
    // The files of secrets beside it are as open as the repository is.
    let open = ["admin.tokens.django.token.file", "identity.jwt.keys.file"];
    let warnings: Vec<_> = warnings.into_iter().filter(|path| !open.contains(path)).collect();
    assert_eq!(warnings, ["routes[9].policy"], "the feed is kept by the letter: {:?}", loaded.warnings);
}

#[test]
fn what_is_not_written_has_its_default() {
    let settings = accepted(&with("{}", "[{name: rest, path: /**}]")).settings;
    assert_eq!(settings.server.listen, ["127.0.0.1:8080".parse().expect("an address")]);
    assert!(settings.admin.is_none());
    assert_eq!((settings.cache.memory, settings.cache.max_object), (256 << 20, 8 << 20));
    let app = &settings.upstreams[0];
    let millis =
        [app.connect_timeout, app.timeout, app.deadline, app.idle_timeout, app.max_life].map(|time| time.as_millis());
    assert_eq!(millis, [1_000, 10_000, 30_000, 1_500, 3_600_000]);
    assert_eq!((app.retries, app.max_connections, app.max_idle), (0, 100, 32));
    assert_eq!(settings.routes[0].policy_name, "pass");
}

#[test]
fn what_is_not_written_gives_way_to_what_is() {
    let text = "cache: {memory: 4MiB}\nupstreams: {app: {servers: http://127.0.0.1:8000, timeout: 500ms, pool: {max: 5}}}\nroutes: [{name: a, path: /a}]\n";
    let settings = accepted(text).settings;
    assert_eq!(settings.cache.max_object, 4 << 20);
    assert_eq!(settings.upstreams[0].connect_timeout.as_millis(), 500);
    assert_eq!(settings.upstreams[0].max_idle, 5);
}

#[test]
fn a_misspelt_key_is_not_missing_too() {
    let check = |text: &str| {
        let report = refused(text);
        assert_eq!(report.errors().count(), 1, "{report}");
        assert_eq!(report.problems[0].kind, MessageKind::UnknownKey, "{report}");
    };
    let app = "upstreams: {app: {servers: [http://127.0.0.1:8000]}}";
    check(&format!("{app}\nroutes: [{{name: a, pth: /a}}]\n"));
    check(&format!("{app}\nroutes: [{{nmae: a, path: /a}}]\n"));
    check(&format!("{app}\nruotes: [{{name: a, path: /a}}]\n"));
    check(&format!("{app}\npolices: {{own: {{share: public}}}}\nroutes: [{{name: a, path: /a, policy: own}}]\n"));
    check(&format!(
        "{app}\nidentiy: {{principal: authorization}}\npolicies: {{own: {{share: principal}}}}\nroutes: [{{name: a, path: /a, policy: own}}]\n"
    ));
    check("upstreams: {app: {server: [http://127.0.0.1:8000]}}\nroutes: [{name: a, path: /a}]\n");
    check("upstraems: {app: {servers: [http://127.0.0.1:8000]}}\nroutes: [{name: a, path: /a, upstream: app}]\n");
}

#[test]
fn a_path_that_cannot_be_read_hides_no_other_mistake() {
    let routes = "[{name: a, path: \"/a/{id}\", policy: non, tags: [a:<id>], body: 5, upstream: other, purges: [b:<id>]}]\n\
                  tests: [{ask: GET /a/7, expect: {route: a}}]";
    let report = refused(&with("{own: {share: public}}", routes));
    let paths: Vec<&str> = report.errors().map(|problem| problem.path.as_str()).collect();
    assert_eq!(paths, ["routes[0].path", "routes[0].policy", "routes[0].body", "routes[0].upstream"], "{report}");
}

#[test]
fn what_depends_on_a_missing_variable_is_not_reported_too() {
    let check = |text: &str| {
        let report = refused(text);
        assert_eq!(report.errors().count(), 1, "{report}");
        assert!(report.to_string().contains("variable NONE is not set"), "{report}");
    };
    let app = "upstreams: {app: {servers: [http://127.0.0.1:8000]}}";
    check(&format!(
        "identity: {{principal: \"${{NONE}}\"}}\n{app}\npolicies: {{own: {{share: principal}}}}\nroutes: [{{name: a, path: /a, policy: own}}]\n"
    ));
    check(&with("{own: {share: \"${NONE}\"}}", "[{name: a, path: /patients, policy: own}]"));
    check(&with("{own: {share: public}}", "[{name: a, path: \"${NONE}\", tags: [a:<id>]}, {name: b, path: /}]"));
    check(&with("{own: {share: public}}", "[{name: a, path: /a, methods: \"${NONE}\"}, {name: b, path: /a}]"));
    check(&with("{own: {share: public}}", "[{name: \"${NONE}\", path: /a}]"));
    check(&with("\"${NONE}\"", "[{name: a, path: /a, policy: own}]"));
    check("upstreams: {app: {servers: \"${NONE}\"}}\nroutes: [{name: a, path: /a}]\n");
    check("upstreams: \"${NONE}\"\nroutes: [{name: a, path: /a, upstream: b}]\n");
    check(&format!("admin: {{listen: 0.0.0.0:9090, tokens: \"${{NONE}}\"}}\n{app}\nroutes: [{{name: a, path: /a}}]\n"));
}

#[test]
fn a_secret_file_is_read_and_trimmed_once() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let file = folder.path().join("proxy.yaml");
    let text = "admin: {listen: 127.0.0.1:0, tokens: {ops: {token: {file: token}, may: [read, purge]}}}\n\
                upstreams: {app: {servers: [http://127.0.0.1:8000]}}\nroutes: [{name: a, path: /a}]\n";
    std::fs::write(&file, text).expect("writable");
    let secret = |content: &str| {
        std::fs::write(folder.path().join("token"), content).expect("writable");
        load(&file, &no_vars).map(|loaded| loaded.settings.admin.expect("an admin section").tokens[0].secret.clone())
    };
    assert_eq!(secret("0123456789abcdefgh\n").ok().as_deref(), Some("0123456789abcdefgh"));
    assert_eq!(secret("0123456789abcdefgh\r\n").ok().as_deref(), Some("0123456789abcdefgh"));
    assert_eq!(secret("0123456789abcdefgh").ok().as_deref(), Some("0123456789abcdefgh"));
    for (content, wanted) in
        [("\n", "is empty"), ("", "is empty"), ("short\n", "fewer than 16"), ("0123456789abcdef\n\n", "cannot carry")]
    {
        let report = secret(content).expect_err(content);
        assert!(report.to_string().contains(wanted), "{report}");
    }
    std::fs::remove_file(folder.path().join("token")).expect("it was written above");
    let report = load(&file, &no_vars).expect_err("the secret is gone");
    assert!(report.to_string().contains("there is no such file"), "{report}");
}

#[cfg(unix)]
#[test]
fn a_secret_that_others_may_read_is_a_warning() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().expect("a temporary folder");
    let own = Authority::new("own").server(&["clinic.example"]);
    own.write(folder.path(), "a");
    let shared = r#"{"keys": [{"kty": "oct", "k": "AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEB"}]}"#;
    let public = r#"{"keys": [{"kty": "OKP", "crv": "Ed25519", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}]}"#;
    for (name, content) in [("token", "0123456789abcdefgh\n"), ("shared", shared), ("public", public)] {
        authority::write_secret(&folder.path().join(name), content);
    }
    let file = folder.path().join("proxy.yaml").display().to_string();
    let warnings = |keys: &str| {
        let text = format!(
            "server: {{tls: {{listen: 127.0.0.1:8443, certs: [{{cert: a.pem, key: a.key}}]}}}}\n\
             admin: {{listen: 127.0.0.1:0, tokens: {{ops: {{token: {{file: token}}, may: [purge]}}}}}}\n\
             identity: {{principal: [authorization], jwt: {{keys: {{file: {keys}}}}}}}\n\
             upstreams: {{app: {{servers: [http://127.0.0.1:8000]}}}}\nroutes: [{{name: a, path: /a}}]\n"
        );
        let loaded = parse(&file, &text, &no_vars).unwrap_or_else(|report| panic!("{report}"));
        let told = loaded.warnings.iter().filter(|problem| problem.message.contains("everybody on this machine"));
        told.map(|problem| (problem.path.clone(), format!("{} {:?}", problem.message, problem.hint)))
            .collect::<Vec<_>>()
    };
    let set = |name: &str, mode: u32| {
        std::fs::set_permissions(folder.path().join(name), PermissionsExt::from_mode(mode)).expect("it is ours");
    };
    // A certificate and keys that only verify are no secrets; the group is the service's own.
    for (name, mode) in [("a.pem", 0o644), ("public", 0o666), ("a.key", 0o640), ("token", 0o440), ("shared", 0o600)] {
        set(name, mode);
    }
    assert_eq!((warnings("public"), warnings("shared")), (Vec::new(), Vec::new()));
    for (name, mode, at, may) in [
        ("a.key", 0o644, "server.tls.certs[0].key", "may read the secret in `a.key` (mode 0644)"),
        ("token", 0o602, "admin.tokens.ops.token.file", "may change the secret in `token` (mode 0602)"),
        ("shared", 0o666, "identity.jwt.keys.file", "may read and change the secret in `shared` (mode 0666)"),
    ] {
        set(name, mode);
        let told = warnings("shared");
        assert_eq!(told.len(), 1, "{told:?}");
        let run = format!("chmod 600 {}", folder.path().join(name).display());
        let (path, text) = &told[0];
        assert!(path == at && text.contains(may) && text.contains(&run), "{path}: {text}");
        set(name, 0o600);
    }
}

#[cfg(unix)]
#[test]
fn a_token_that_stands_in_a_file_that_others_may_read_is_a_warning() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().expect("a temporary folder");
    let file = folder.path().join("proxy.yaml");
    let warnings = |token: &str, mode: u32| {
        let text = format!(
            "admin: {{listen: 127.0.0.1:0, tokens: {{ops: {{token: {token}, may: [purge]}}}}}}\n\
             upstreams: {{app: {{servers: [http://127.0.0.1:8000]}}}}\nroutes: [{{name: a, path: /a}}]\n"
        );
        std::fs::write(&file, text).expect("written");
        std::fs::set_permissions(&file, PermissionsExt::from_mode(mode)).expect("it is ours");
        let vars = |name: &str| (name == "TOKEN").then(|| "0123456789abcdefgh".to_owned());
        load(&file, &vars).unwrap_or_else(|report| panic!("{report}")).warnings
    };
    assert!(warnings("0123456789abcdefgh", 0o640).is_empty());
    assert!(warnings("\"${TOKEN}\"", 0o644).is_empty(), "it does not stand there");
    let told = warnings("0123456789abcdefgh", 0o644);
    assert_eq!((told.len(), told[0].path.as_str()), (1, "admin.tokens.ops.token"), "{told:?}");
    assert!(told[0].message.contains("may read the secret that stands here (mode 0644"), "{told:?}");
    assert!(!format!("{told:?}").contains("0123456789abcdefgh"));
}

#[test]
fn an_upstream_is_the_same_wherever_it_stands() {
    let marks = |upstreams: &str| {
        let routes = "routes: [{name: a, path: /a, upstream: app}, {name: b, path: /b, upstream: images}]";
        let text = format!("upstreams: {{{upstreams}}}\n{routes}\n");
        let loaded = parse("proxy.yaml", &text, &no_vars).unwrap_or_else(|report| panic!("{report}"));
        loaded.settings.routes.iter().map(|route| (route.upstream, route.upstream_mark)).collect::<Vec<_>>()
    };
    let (app, images) = ("app: {servers: [http://127.0.0.1:1]}", "images: {servers: [http://127.0.0.1:2]}");
    let (one, other) = (marks(&format!("{app}, {images}")), marks(&format!("{images}, {app}")));
    assert_eq!((one[0].0, one[1].0, other[0].0, other[1].0), (0, 1, 1, 0));
    assert_eq!((one[0].1, one[1].1), (other[0].1, other[1].1), "what is known of one is not taken for the other's");
    assert_ne!(one[0].1, one[1].1);
}

#[test]
fn a_secret_is_in_no_message() {
    let secret = "correct-horse-battery-staple";
    let app = "upstreams: {app: {servers: [http://127.0.0.1:8000]}}\nroutes: [{name: a, path: /a}]\n";
    for tokens in [
        format!("{{ops: {{token: {secret}, token: {secret}, may: [read]}}}}"),
        format!("{{ops: {{token: *{secret}, may: [read]}}}}"),
        format!("{{ops: {{token: &{secret} x, may: [read]}}}}"),
        format!("{{ops: {{token: !{secret} x, may: [read]}}}}"),
        format!("{{ops: {{token: @{secret}, may: [read]}}}}"),
        format!("{{ops: {{token: [{secret}], may: [read]}}}}"),
        format!("{{ops: {{token: \"{secret} ü\", may: [read]}}}}"),
        format!("{{ops: {{token: {{file: x, flie: {secret}}}, may: [read]}}}}"),
        format!("{{ops: {secret}}}"),
        format!("[{secret}]"),
        format!("{{ops: {{token: \"${{NONE:-{secret} ü}}\", may: [read]}}}}"),
        format!("{{ops: {{token: {secret}, may: [read]}}, other: {{token: {secret}, may: [read]}}}}"),
    ] {
        let report = refused(&format!("admin:\n  listen: 127.0.0.1:0\n  tokens: {tokens}\n{app}"));
        let json = serde_json::to_string(&report).expect("a report is plain data");
        assert!(!report.to_string().contains(secret), "{report}");
        assert!(!json.contains(secret), "{json}");
    }
}

#[test]
fn what_a_variable_holds_is_in_no_message() {
    let vars = |name: &str| (name == "WRONG").then(|| "s3cret-value".to_owned());
    let text = with(
        "{p: {share: \"${WRONG}\", ttl: \"${WRONG}\", vary: {headers: [\"${WRONG} x\"]}}}",
        "[{name: \"${WRONG}/\", path: \"${WRONG}\", upstream: \"${WRONG}\", tags: [\"<${WRONG}>\"]}]",
    );
    let Err(report) = parse("proxy.yaml", &text, &vars) else { panic!("accepted:\n{text}") };
    assert!(report.errors().count() >= 6, "{report}");
    assert!(!report.to_string().contains("s3cret"), "{report}");
    assert!(report.to_string().contains("there is no upstream `${WRONG}`"), "{report}");
}

#[test]
fn a_report_is_also_for_machines_and_terminals() {
    let report = refused("upstreams: {app: {servers: [http://127.0.0.1:8000]}}\nroutes:\n  - {name: a, path: a}\n");
    let json = serde_json::to_value(&report).expect("a report is plain data");
    let wanted = serde_json::json!({
        "file": "proxy.yaml",
        "problems": [{
            "severity": "error", "kind": "value", "line": 3, "column": 21, "path": "routes[0].path",
            "message": "`a` does not begin with `/`", "hint": "write /a", "related": null,
        }],
    });
    assert_eq!(json, wanted);
    assert!(report.render(true).contains("\x1b[1;31m"));
    assert!(!report.render(false).contains('\x1b'));
    let hostile =
        refused("upstreams: {app: {servers: [http://127.0.0.1:8000]}}\nroutes: [{name: \"a\\e[2J\", path: /a}]\n");
    assert!(!hostile.to_string().contains('\x1b'), "a file cannot drive the terminal");
}

#[test]
fn warnings_do_not_refuse_a_file() {
    let loaded = accepted(
        "upstreams: {app: {servers: [http://127.0.0.1:8000], timeout: 10s, deadline: 15s, retries: 2}}\nroutes: [{name: a, path: /a}]\n",
    );
    assert_eq!(loaded.warnings.len(), 1);
    assert_eq!(loaded.warnings[0].severity, Severity::Warning);
    let shown = loaded.report(loaded.warnings.clone()).to_string();
    assert!(shown.starts_with("proxy.yaml:1:") && shown.contains("warning:") && shown.contains("^^^"), "{shown}");
}

#[test]
fn who_may_share_what() {
    let check = |policy: &str, route: &str, wanted: Option<MessageKind>| {
        let text = with(&format!("{{p: {policy}}}"), &format!("[{{name: r, {route}, policy: p}}]"));
        let kinds: Vec<MessageKind> = match parse("proxy.yaml", &text, &no_vars) {
            Ok(_) => Vec::new(),
            Err(report) => report.errors().map(|problem| problem.kind).collect(),
        };
        assert_eq!(kinds, wanted.into_iter().collect::<Vec<MessageKind>>(), "{text}");
    };
    check("{share: public}", "path: /media/medications/<int:id>/<file>, tags: [medication:<id>]", None);
    check("{share: principal}", "path: /api/patients/<int:id>, tags: [patient:<id>]", None);
    check("{share: public}", "path: /api/patients/<int:id>", Some(MessageKind::Unsafe));
    check("{share: anonymous}", "path: /api/patients/<int:id>", Some(MessageKind::Unsafe));
    check("{share: public}", "path: /x/<int:id>, tags: [encounter:<id>]", Some(MessageKind::Unsafe));
    check("{share: public}", "path: /x, purges: [prescriptions:*]", Some(MessageKind::Unsafe));
    check("{share: public}", "path: /x, purges: [principal]", Some(MessageKind::Unsafe));
    check("{share: anonymous}", "path: /x, purges: [principal]", None);
    check("{share: [tenant]}", "path: /x/<tenant>", Some(MessageKind::Unsafe));
    check("{share: tenant}", "path: /x/<tenant>", Some(MessageKind::Unsafe));
    check("{share: [host.name]}", "path: /x", Some(MessageKind::Unsafe));
    check("{share: [jwt.tenant]}", "path: /x", Some(MessageKind::UnknownName));
    check("{share: [tenant]}", "path: /x", Some(MessageKind::UnknownName));
    check("{share: []}", "path: /x", Some(MessageKind::Missing));
    check("{share: permitted}", "path: /x", Some(MessageKind::Missing));
    check("{share: permitted, access: token}", "path: /x", Some(MessageKind::Missing));
    check("{share: permitted, access: {ask: /authz/<id>, for: 60s}}", "path: /api/patients/<int:id>", None);
    check("{share: permitted, access: {ask: /authz/<id>}}", "path: /api/patients", None);
    check("{share: permitted, access: {ask: self}}", "path: /api/patients", None);
    check("{share: permitted, access: {ask: '/authz?id=<id>'}}", "path: /api/patients/<id>", Some(MessageKind::Value));
    check("{share: permitted, access: {ask: /authz/**}}", "path: /api/patients", Some(MessageKind::Value));
    check("{share: permitted, access: {for: 60s}}", "path: /api/patients", Some(MessageKind::Missing));
    check("{share: permitted, access: tokn}", "path: /api/patients", Some(MessageKind::Value));
    check("{share: principal, access: {ask: self, for: 60s}}", "path: /api/patients", None);
    check("{share: public, access: {ask: self}}", "path: /x", Some(MessageKind::Contradiction));
    check("{share: permitted, access: {ask: self}}", "path: /x, share: public", Some(MessageKind::Contradiction));
    check("{share: public}", "path: /x, share: [tenant]", Some(MessageKind::UnknownName));
    check("{share: public}", "path: /x/<tenant>, share: [tenant]", Some(MessageKind::Unsafe));
}

#[test]
fn a_policy_that_needs_a_part_warns_where_there_is_none() {
    let policy = "{p: {share: permitted, access: {ask: /authz/<id>, yes: 204, for: 60s}}}";
    for (path, warnings) in [("/api/patients/<id>", 0), ("/api/patients/<int:id>/notes", 0), ("/api/patients", 1)] {
        let loaded = accepted(&with(policy, &format!("[{{name: r, path: {path}, policy: p}}]")));
        assert_eq!(loaded.warnings.len(), warnings, "{path}: {:?}", loaded.warnings);
    }
}

#[test]
fn what_facets_rest_on() {
    let jwt = "jwt: {keys: {file: tests/it/jwks.json}}";
    let check = |server: &str, identity: &str, share: &str, route: &str, wanted: Option<MessageKind>| {
        let text = format!(
            "server: {{listen: 127.0.0.1:0{server}}}\n\
             identity: {{principal: [authorization], {identity}}}\n\
             upstreams: {{app: {{servers: [http://127.0.0.1:8000]}}}}\n\
             policies: {{p: {{share: {share}}}}}\nroutes: [{{name: r, policy: p, {route}}}]\n"
        );
        let kinds: Vec<MessageKind> = match parse("proxy.yaml", &text, &no_vars) {
            Ok(_) => Vec::new(),
            Err(report) => report.errors().map(|problem| problem.kind).collect(),
        };
        assert_eq!(kinds, wanted.into_iter().collect::<Vec<MessageKind>>(), "{text}");
    };
    let with = |facets: &str| format!("{jwt}, facets: {{{facets}}}");
    let tenant = with("tenant: jwt.tenant");
    check("", &tenant, "[tenant]", "path: /x", None);
    check("", &tenant, "tenant", "path: /x", None);
    check("", &tenant, "[tenant], access: token", "path: /x, tags: [x:<tenant>]", None);
    check("", &tenant, "[tennant]", "path: /x", Some(MessageKind::UnknownName));
    check("", &tenant, "[tenant, tenant]", "path: /x", Some(MessageKind::Duplicate));
    check("", "facets: {tenant: jwt.tenant}", "[tenant]", "path: /x", Some(MessageKind::Missing));
    check("", &with("tenant: jwt.tenant, ward: header.x-ward"), "[tenant, ward]", "path: /x", None);
    check("", &with("tenant: jwt.tenant, ward: header.x-ward"), "[ward]", "path: /x", Some(MessageKind::Unsafe));
    check("", &with("ward: header.x-ward"), "principal", "path: /x, tags: [x:<ward>]", Some(MessageKind::Value));
    check("", &tenant, "[tenant, ward]", "path: /<ward>", None);
    check("", &with("tenant: jwt.tenant, ward: path.ward"), "[tenant, ward]", "path: /x", None);
    check("", &with("tenant: cert.o"), "[tenant]", "path: /x, tags: [x:<tenant>]", Some(MessageKind::Missing));
    check("", &with("tenant: jtw.tenant"), "[tenant]", "path: /x", Some(MessageKind::Value));
    check("", &with("tenant: header.cookie"), "principal", "path: /x", Some(MessageKind::Value));
    check("", &with("permitted: jwt.tenant"), "principal", "path: /x", Some(MessageKind::Value));
    check("", "facets: {tenant: trusted.x-tenant}", "[tenant]", "path: /x", Some(MessageKind::Missing));
    check(", trusted_proxies: [10.0.0.1]", "facets: {tenant: trusted.x-tenant}", "[tenant]", "path: /x", None);
    let said = "facets: {tenant: access.tenant}";
    check("", said, "[tenant]", "path: /x", Some(MessageKind::Missing));
    check("", said, "[tenant], access: {ask: self}", "path: /x", Some(MessageKind::Missing));
    check("", said, "[tenant], access: {ask: /me, for: 5s}", "path: /x", None);
    for (jwt, wanted) in [
        ("{keys: {file: tests/it/none.json}}", MessageKind::Value),
        ("{keys: {file: Cargo.toml}}", MessageKind::Value),
        ("{keys: {file: tests/it/jwks.json}, algorithms: [RS256]}", MessageKind::Value),
        ("{keys: {file: tests/it/jwks.json}, algorithms: [RS255]}", MessageKind::Value),
        ("{keys: {file: tests/it/jwks.json}, from: cookie.jwt}", MessageKind::Contradiction),
        ("{keys: {file: tests/it/jwks.json}, from: body}", MessageKind::Value),
        ("{keys: {file: tests/it/jwks.json}, leeway: 1h}", MessageKind::Unsafe),
        ("{keys: {}}", MessageKind::Missing),
        ("{from: authorization}", MessageKind::Missing),
    ] {
        check("", &format!("jwt: {jwt}, facets: {{tenant: jwt.tenant}}"), "[tenant]", "path: /x", Some(wanted));
    }
}

#[test]
fn a_fingerprint_changes_with_all_that_an_entry_was_made_by() {
    let of = |policy: &str, route: &str| {
        let text = with(&format!("{{p: {policy}}}"), &format!("[{{name: r, policy: p, {route}}}]"));
        accepted(&text).settings.routes[0].fingerprint
    };
    let base = of("{share: principal, ttl: 5m}", "path: /a/<id>, tags: [a:<id>]");
    assert_eq!(base, of("{share: principal, ttl: 5m}", "path: /a/<id>, tags: [a:<id>]"));
    assert_eq!(base, of("{share: principal, ttl: 300s}", "path: /a/<id>, tags: [a:<id>], body: 1MiB"));
    let others = [
        of("{share: anonymous, ttl: 5m}", "path: /a/<id>, tags: [a:<id>]"),
        of("{share: principal, ttl: 1h}", "path: /a/<id>, tags: [a:<id>]"),
        of("{share: principal, ttl: 5m, ceiling: 2h}", "path: /a/<id>, tags: [a:<id>]"),
        of("{share: principal, ttl: 5m, stale_if_error: 2h}", "path: /a/<id>, tags: [a:<id>]"),
        of("{share: principal, ttl: 5m, stale_while_revalidate: 2h}", "path: /a/<id>, tags: [a:<id>]"),
        of("{share: principal, ttl: 5m, types: {text/*: 5m}}", "path: /a/<id>, tags: [a:<id>]"),
        of("{share: principal, ttl: 5m, types: {text/*: 6m}}", "path: /a/<id>, tags: [a:<id>]"),
        of("{share: principal, ttl: 5m}", "path: /a/<id>, tags: [a:<id>], methods: [GET]"),
        of("{share: principal, ttl: 5m}", "path: /a/<id>, tags: [a:<id>], headers: {x-a: b}"),
        of("{share: principal, vary: {headers: [x-a]}}", "path: /a/<id>, tags: [a:<id>]"),
        of("{share: principal}", "path: /a/<int:id>, tags: [a:<id>]"),
        of("{share: principal}", "path: /a/<id>/**, tags: [a:<id>]"),
        of("{share: principal}", "path: /a/<id>, tags: [b:<id>]"),
        of("{share: principal}", "path: /a/<id>, purges: [a:<id>]"),
        of("{share: principal}", "path: /a/<id>, tags: [a:<id>], host: a.example"),
        of("{share: principal}", "path: /a/<id>, tags: [a:<id>], query: {page: any}"),
        of("{share: principal}", "path: /a/<id>, tags: [a:<id>], query: {page: drop}"),
    ];
    for (index, other) in others.iter().enumerate() {
        assert_ne!(*other, base, "{index}");
        assert!(!others[index + 1..].contains(other), "{index}");
    }
    // What strangers could say becomes what only a proxy may: what they were given is not for those whom it names.
    let open = with("{p: {share: public, ttl: 5m}}", "[{name: r, policy: p, path: /a}]");
    let vouched = open.replace("sessionid]}", "sessionid], facets: {ward: trusted.x-ward}}");
    let of = |text: &str| {
        accepted(&format!("server: {{trusted_proxies: [10.0.0.1]}}\n{text}")).settings.routes[0].fingerprint
    };
    assert_ne!(of(&vouched), of(&open));
}

#[test]
fn the_files_own_tests_say_what_differs() {
    let routes = "[{name: list, path: /list, policy: own, tags: [list]}]\n\
                  tests:\n  \
                  - ask: GET http://Clinic.example/list?page=2\n    \
                    as: {cookie.sessionid: a, authorization: Bearer b, header.x-app: c}\n    \
                    expect: {route: list, policy: own, share: principal, outcome: lookup, tags: [list, all], purges: [], ttl: 5m, query: {page: 3}}\n";
    let loaded = accepted(&with("{own: {share: principal, ttl: 5m}}", routes));
    let judge = |ask: &TestRequest| {
        assert_eq!((ask.host.as_deref(), ask.target.as_str()), (Some("clinic.example"), "/list?page=2"));
        assert_eq!(ask.credentials.len(), 3);
        TestVerdict {
            route: Some("list".to_owned()),
            policy: Some("own".to_owned()),
            share: None,
            outcome: TestOutcome::Pass,
            tags: vec!["list".to_owned()],
            purges: Vec::new(),
            ttl: Some(std::time::Duration::from_secs(60)),
            query: vec![("page".to_owned(), "2".to_owned())],
        }
    };
    let report = loaded.report(selftest::run(&loaded.tests, &judge));
    let mut settings = insta::Settings::clone_current();
    settings.set_snapshot_path("config/snapshots");
    settings.set_prepend_module_to_snapshot(false);
    settings.set_omit_expression(true);
    settings.bind(|| insta::assert_snapshot!("selftest", report.to_string()));
    assert_eq!(report.errors().count(), 5, "{report}");
}

#[test]
fn bounds_hold() {
    let large = format!("a: {}\n", "x".repeat(1 << 20));
    assert!(refused(&large).to_string().contains("larger than 1 MiB"));
    let deep = format!("a: {}{}\n", "[".repeat(100), "]".repeat(100));
    assert!(refused(&deep).to_string().contains("nested too deeply"));
    let many = format!("a: [{}]\n", "1,".repeat(300_000));
    assert!(refused(&many).to_string().contains("more than 200000 values"));
    let wide: String = (0..60_000).map(|number| format!("k{number}: 1\n")).collect();
    let report = refused(&wide);
    assert_eq!(report.errors().count(), 60_002);
    assert!(report.to_string().ends_with("… and 59902 more\n"));
}

#[test]
fn a_file_that_cannot_be_read_says_why() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let report = load(&folder.path().join("none.yaml"), &no_vars).expect_err("it does not exist");
    assert!(report.to_string().contains("there is no such file"), "{report}");
    assert!(load(folder.path(), &no_vars).is_err());
    let binary = folder.path().join("binary.yaml");
    std::fs::write(&binary, [0xff, 0xfe, 0x00]).expect("writable");
    let report = load(&binary, &no_vars).expect_err("it is not text");
    assert!(report.to_string().contains("not text in UTF-8"), "{report}");
}

/// Something to render exercises every place that a problem has.
fn survives(text: &str) {
    let vars = |name: &str| match name {
        "BIND" => Some("127.0.0.1".to_owned()),
        _ => name.len().is_multiple_of(2).then(|| format!("${{{name}}}")),
    };
    match parse("tests/config/proxy.yaml", text, &vars) {
        Ok(loaded) => drop(loaded.report(loaded.warnings.clone()).render(true)),
        Err(report) => {
            assert!(report.errors().next().is_some());
            for problem in &report.problems {
                let lines = u32::try_from(text.replace("\r\n", "\n").split(['\n', '\r']).count()).unwrap_or(u32::MAX);
                assert!(problem.line <= lines.max(1), "line {} of {lines}: {}", problem.line, problem.message);
            }
            drop(report.render(true));
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_text_panics(text in any::<String>()) {
        survives(&text);
    }

    #[test]
    fn no_text_of_yaml_characters_panics(text in "[-a-c0-9:,{}\\[\\]&*!|>'\"%@`#?<~$ \\n\\t]{0,80}") {
        survives(&text);
    }

    #[test]
    fn no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        survives(&String::from_utf8_lossy(&bytes));
    }

    #[test]
    fn no_change_of_a_good_file_panics(
        changes in proptest::collection::vec((any::<prop::sample::Index>(), "[-:,{}\\[\\]&*!'\"%@<>$ \\n\\ta0é]{0,3}", 0usize..6), 1..6),
        file in prop::sample::select(vec!["full.yaml", "sketch.yaml", "systems/medguard.yaml", "broken/twelve.yaml"]),
    ) {
        let mut characters: Vec<char> = fixture(file).chars().collect();
        for (index, inserted, removed) in changes {
            let start = index.index(characters.len() + 1);
            let end = (start + removed).min(characters.len());
            characters.splice(start..end, inserted.chars());
        }
        survives(&characters.into_iter().collect::<String>());
    }
}

#[test]
fn certificates_are_read_when_the_file_is() {
    let (own, other) = (Authority::new("ca").server(&["clinic.example"]), Authority::new("ca").server(&["b"]));
    let folder = tempfile::tempdir().expect("a folder");
    own.write(folder.path(), "a");
    Authority::new("ca").expired(&["a"]).write(folder.path(), "old");
    for (name, text) in
        [("other.key", &other.key), ("ca.pem", &Authority::new("ca").pem()), ("no.pem", &"x".to_owned())]
    {
        std::fs::write(folder.path().join(name), text).expect("written");
    }
    std::fs::write(folder.path().join("broken.pem"), own.cert.replace("MII", "MIIA")).expect("written");
    let file = folder.path().join("proxy.yaml").display().to_string();
    let read = |tls: &str| {
        let text = format!(
            "server:\n  tls: {tls}\nidentity: {{facets: {{tenant: cert.o}}}}\n\
             upstreams: {{app: {{servers: [http://127.0.0.1:8000]}}}}\n\
             policies: {{p: {{share: [tenant], ttl: 1m}}}}\nroutes: [{{name: a, path: /a, policy: p}}]\n"
        );
        parse(&file, &text, &no_vars)
    };
    let loaded = read("{listen: [127.0.0.1:8443], certs: [{cert: a.pem, key: a.key}], client_ca: ca.pem}");
    let loaded = loaded.unwrap_or_else(|report| panic!("{report}"));
    assert!(loaded.warnings.is_empty(), "{:?}", loaded.warnings);
    let tls = loaded.settings.server.tls.as_ref().expect("there is TLS");
    assert_eq!((tls.listen.len(), tls.terms.roots().map(<[_]>::len)), (1, Some(1)));
    let key = own.key.lines().nth(1).expect("a line of the key");
    assert!(!format!("{:?}", loaded.settings).contains(key), "keys are not printed");

    let old = read("{listen: 127.0.0.1:8443, certs: [{cert: old.pem, key: old.key}], client_ca: ca.pem}");
    let warnings = old.unwrap_or_else(|report| panic!("{report}")).warnings;
    assert_eq!((warnings.len(), warnings[0].line, warnings[0].column), (1, 2, 48), "{warnings:?}");
    assert!(warnings[0].message.contains("2021-01-01"), "{warnings:?}");

    let old = read("{listen: 127.0.0.1:8443, certs: [{cert: a.pem, key: a.key}], client_ca: old.pem}");
    let warnings = old.unwrap_or_else(|report| panic!("{report}")).warnings;
    assert_eq!((warnings.len(), warnings[0].path.as_str()), (1, "server.tls.client_ca"), "{warnings:?}");
    assert!(warnings[0].message.contains("an authority in `old.pem` has expired: 2021-01-01"), "{warnings:?}");

    let certs = "certs: [{cert: a.pem, key: a.key}]";
    for (tls, column, wanted) in [
        (format!("{{{certs}, client_ca: ca.pem}}"), 3, "`tls` does not say where to listen"),
        ("{listen: 127.0.0.1:8443, client_ca: ca.pem}".to_owned(), 3, "`tls` has no certificates to show"),
        ("{listen: 127.0.0.1:8443, certs: []}".to_owned(), 40, "there are no certificates to show"),
        ("{listen: 127.0.0.1:8443, certs: [{cert: a.pem}]}".to_owned(), 41, "the key is missing"),
        (format!("{{listen: 127.0.0.1:8443, {certs}, client_ca: gone.pem}}"), 80, "there is no such file"),
        (format!("{{listen: 127.0.0.1:8443, {certs}, client_ca: no.pem}}"), 80, "it holds no certificate"),
        (format!("{{listen: 127.0.0.1:8443, {certs}}}"), 29, "no `server.tls.client_ca` to verify one by"),
        ("{listen: 127.0.0.1:8443, certs: [{cert: gone.pem, key: a.key}]}".to_owned(), 48, "there is no such file"),
        ("{listen: 127.0.0.1:8443, certs: [{cert: no.pem, key: a.key}]}".to_owned(), 48, "it holds no certificate"),
        ("{listen: 127.0.0.1:8443, certs: [{cert: broken.pem, key: a.key}]}".to_owned(), 48, "cannot be read"),
        ("{listen: 127.0.0.1:8443, certs: [{cert: a.pem, key: a.pem}]}".to_owned(), 60, "it holds no private key"),
        ("{listen: 127.0.0.1:8443, certs: [{cert: a.pem, key: other.key}]}".to_owned(), 60, "it is not the key"),
        (format!("{{listen: 127.0.0.1:8080, {certs}, client_ca: ca.pem}}"), 17, "also an address of `server.listen`"),
        (format!("{{listen: 127.0.0.1:8443, {certs}, client_ca: ca.pem, hsts: 365d}}"), 88, "not available yet"),
    ] {
        let Err(report) = read(&tls) else { panic!("accepted: {tls}") };
        let found: Vec<_> = report.errors().map(|problem| (problem.column, problem.message.clone())).collect();
        assert!(found.len() == 1 && found[0].0 == column && found[0].1.contains(wanted), "{tls}\n{wanted}\n{report}");
        assert!(!report.to_string().contains(key), "{report}");
    }
}
