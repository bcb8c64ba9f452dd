//! What a person types first: `stent check` and `stent init`, against the real thing.

use std::path::Path;
use std::process::{Command, Output};

use crate::client::Request;
use crate::django::form_token;
use crate::process::{Example, Origin, Stent, scratch};

fn stent(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_stent")).args(arguments).output().expect("it runs")
}

fn check(config: &Path) {
    let output = stent(&["check", "--config", config.to_str().expect("text")]);
    let [said, complained] = [&output.stdout, &output.stderr].map(|text| String::from_utf8_lossy(text).into_owned());
    assert_eq!(output.status.code(), Some(0), "{}: {complained}", config.display());
    assert!(said.contains(": fine; ") && complained.is_empty(), "{said}{complained}");
}

#[test]
fn the_examples_pass_their_own_check() {
    check(&Example::Django.config());
    check(&Example::FastApi.config());
}

/// Each line that begins with `stent` names a subcommand that there is.
#[test]
fn the_examples_say_commands_that_exist() {
    for example in [Example::Django, Example::FastApi] {
        let readme = std::fs::read_to_string(example.folder().join("README.md")).expect("it has one");
        let commands: Vec<&str> = readme.lines().filter_map(|line| line.strip_prefix("stent ")).collect();
        assert!(!commands.is_empty(), "{example:?}");
        for command in commands {
            let name = command.split(' ').next().unwrap_or_default();
            let output = stent(&[name, "--help"]);
            assert!(!name.starts_with('-') && output.status.success(), "stent {command}");
        }
    }
}

/// Writes a starter for the origin as a person would, moves its listeners to free ports, and serves by it.
fn started(origin: &Origin, kind: &str) -> (Stent, tempfile::TempDir) {
    let folder = scratch();
    let file = folder.path().join("proxy.yaml");
    let name = file.to_str().expect("text");
    let output = stent(&["init", kind, &format!("http://{}", origin.address), "--output", name]);
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    check(&file);
    let text = std::fs::read_to_string(&file).expect("it was written");
    assert!(text.lines().count() < 45, "{text}");
    assert!(text.contains(&origin.address.to_string()), "{text}");
    let moved = text.replace("127.0.0.1:8080", "127.0.0.1:0").replace("127.0.0.1:9090", "127.0.0.1:0");
    std::fs::write(&file, moved).expect("it can be written");
    (Stent::with(&file, origin), folder)
}

#[test]
fn a_starter_serves_django() {
    let origin = Origin::start(Example::Django).ready();
    let (stent, _folder) = started(&origin, "--django");
    for user in ["alice", "bob"] {
        let ask = Request::get("/api/patients/7/").with("Authorization", &format!("Token token-{user}"));
        let answers = [stent.ask(&ask), stent.ask(&ask)];
        assert_eq!(answers.each_ref().map(|answer| answer.is_hit()), [false, true]);
        answers.iter().for_each(|answer| assert_eq!(answer.json()["seen_by"], user));
    }
    assert_eq!(origin.count("/api/patients/7/"), 2);
    assert!(!stent.ask(&Request::get("/")).is_hit());
    assert!(stent.ask(&Request::get("/")).is_hit());

    // It knows nothing of this clinic's login, and it works.
    let forms = [0, 1].map(|_| stent.ask(&Request::get("/login/")));
    assert_ne!(forms[0].cookie("csrftoken"), forms[1].cookie("csrftoken"), "each browser has its own");
    let csrf = forms[1].cookie("csrftoken").expect("the form sets its cookie");
    let filled = format!("username=alice&password=alice-pass&csrfmiddlewaretoken={}", form_token(&forms[1].text()));
    let welcome =
        stent.ask(&Request::new("POST", "/login/").with("Cookie", &format!("csrftoken={csrf}")).form(&filled));
    let session = format!("sessionid={}; csrftoken={csrf}", welcome.cookie("sessionid").expect("she is signed in"));
    let hers = stent.ask(&Request::get("/").with("Cookie", &session));
    assert!(!hers.is_hit() && hers.text().contains("Welcome, alice"));
    let anonymous = stent.ask(&Request::get("/"));
    assert!(anonymous.is_hit() && !anonymous.text().contains("alice"));
}

#[test]
fn a_starter_serves_fastapi() {
    let origin = Origin::start(Example::FastApi).ready();
    let (stent, _folder) = started(&origin, "--fastapi");
    for (token, patients) in [("a.doctor1", 20), ("b.doctor1", 12)] {
        let ask = Request::get("/dashboard/stats").with("Authorization", &format!("Bearer {token}"));
        let answers = [stent.ask(&ask), stent.ask(&ask)];
        assert_eq!(answers.each_ref().map(|answer| answer.is_hit()), [false, true]);
        answers.iter().for_each(|answer| assert_eq!(answer.json()["patients"], patients));
    }
    assert_eq!(origin.count("/dashboard/stats"), 2);
    assert_eq!(stent.ask(&Request::get("/dashboard/stats")).status, 401);
    let events = stent.ask(&Request::get("/events?n=2&gap_ms=1"));
    assert_eq!((events.status, events.text().matches("data:").count()), (200, 2));
}
