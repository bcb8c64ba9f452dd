//! `stent demo` as a person runs it: the real binary, with free ports.

use std::io::Read;
use std::net::TcpListener;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc;
use std::time::Duration;

/// Many times what a walk takes.
const LIMIT: Duration = Duration::from_secs(60);

fn stent(args: &[&str]) -> Child {
    Command::new(env!("CARGO_BIN_EXE_stent"))
        .args(args)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::inherit())
        .spawn()
        .expect("the binary was built for this test")
}

/// Reads what it prints until it has printed `until` (empty: until it ends), and kills it if that takes too long.
fn read(child: &mut Child, until: &'static str) -> String {
    let mut stdout = child.stdout.take().expect("it is piped");
    let (sender, receiver) = mpsc::channel();
    std::thread::spawn(move || {
        let (mut read, mut piece) = (Vec::new(), [0; 4096]);
        while let Ok(length @ 1..) = stdout.read(&mut piece) {
            read.extend_from_slice(&piece[..length]);
            if !until.is_empty() && String::from_utf8_lossy(&read).contains(until) {
                break;
            }
        }
        // Nobody listens any more once the limit is over.
        let _ = sender.send((String::from_utf8_lossy(&read).into_owned(), stdout));
    });
    match receiver.recv_timeout(LIMIT) {
        Ok((text, stdout)) => {
            child.stdout = Some(stdout);
            text
        }
        Err(_) => {
            child.kill().expect("it runs");
            child.wait().expect("it was killed");
            panic!("it neither ended nor printed {until:?} within {LIMIT:?}");
        }
    }
}

/// Runs it to its end.
fn run(args: &[&str]) -> (String, ExitStatus) {
    let mut child = stent(args);
    let text = read(&mut child, "");
    (text, child.wait().expect("it has closed its output"))
}

/// The column of answers, from top to bottom.
fn answers(text: &str) -> Vec<&str> {
    let words = ["MISS", "HIT", "PASS", "PURGED", "STALE", "?"];
    text.lines().filter_map(|line| line.split_whitespace().find(|word| words.contains(word))).collect()
}

#[test]
fn every_step_of_the_walk_comes_out_as_it_should() {
    let (text, status) = run(&["demo", "--exit", "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0"]);
    assert!(status.success(), "{status}\n{text}");
    assert_eq!(
        answers(&text),
        [
            ["MISS", "HIT", "MISS"].as_slice(),
            &["MISS", "PURGED", "MISS", "MISS", "MISS", "HIT"],
            &["PURGED", "MISS", "MISS"],
            &["MISS", "HIT", "PASS", "MISS", "MISS", "MISS", "HIT"],
            &["MISS", "HIT"],
        ]
        .concat(),
        "{text}"
    );
    assert!(text.contains("requests that reached the clinic: 1\n"), "{text}");
    assert!(!text.contains('\x1b'), "colours, and nobody is looking:\n{text}");
    assert!(!text.contains("not as it should be"), "{text}");
}

#[test]
fn a_taken_port_is_no_reason_to_fail() {
    let taken = TcpListener::bind("127.0.0.1:0").expect("some port is free");
    let address = taken.local_addr().expect("it is bound").to_string();
    let (text, status) = run(&["demo", "--exit", "--listen", &address, "--admin", &address]);
    assert!(status.success(), "{status}\n{text}");
    assert!(text.contains(&format!("{address} is taken")), "{text}");
}

#[test]
fn it_stays_up_until_it_is_told_to_stop() {
    let mut child = stent(&["demo", "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0"]);
    let text = read(&mut child, "until Ctrl-C");
    let told = Command::new("kill").args(["-TERM", &child.id().to_string()]).status().expect("there is a `kill`");
    assert!(told.success());
    read(&mut child, "");
    let status = child.wait().expect("it has closed its output");
    assert!(status.success(), "{status}\n{text}");
    assert!(text.contains("stent purge --admin 127.0.0.1:"), "{text}");
}

#[test]
fn its_configuration_passes_its_own_tests() {
    let (config, status) = run(&["demo", "--show-config"]);
    assert!(status.success());
    let folder = tempfile::tempdir().expect("there is room");
    let file = folder.path().join("proxy.yaml");
    std::fs::write(&file, config).expect("there is room");
    let (text, status) = run(&["check", "--config", &file.to_string_lossy()]);
    assert!(status.success(), "{text}");
    assert!(text.contains("5 tests passed"), "{text}");
}
