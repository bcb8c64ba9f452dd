//! A thousand clients want the same page at once, and it is not there yet.

use crate::client::{Connection, Request};
use crate::process::{Example, Origin, Stent};

const CLIENTS: usize = 1000;

#[test]
fn a_thousand_clients_are_one_request_to_django() {
    one_request(Example::Django, "/slow/", "/slow/?ms=1500");
}

#[test]
fn a_thousand_clients_are_one_request_to_fastapi() {
    one_request(Example::FastApi, "/slow", "/slow?ms=1500");
}

fn one_request(example: Example, path: &str, target: &str) {
    assert!(open_files() > CLIENTS + 200, "a thousand connections need more open files: ulimit -n 4096");
    let origin = Origin::start(example).ready();
    let stent = Stent::before(&origin);
    let request = Request::get(target);
    let mut clients: Vec<Connection> = (0..CLIENTS).map(|_| Connection::open(stent.address)).collect();
    clients.iter_mut().for_each(|client| client.send(&request));
    let mut how = [0; 3];
    for client in &mut clients {
        let answer = client.answer("GET");
        assert_eq!((answer.status, answer.text().as_str()), (200, "slept 1500 ms\n"));
        let status = answer.header("cache-status");
        how[if answer.is_hit() { 0 } else { usize::from(status.contains("; collapsed")) + 1 }] += 1;
    }
    let [hits, fetched, collapsed] = how;
    assert_eq!(origin.count(path), 1, "hits, fetched, collapsed: {how:?}");
    assert_eq!((fetched, hits + collapsed), (1, CLIENTS - 1));
    assert!(collapsed > 0, "they did not ask at once");
}

/// How many this process may have, by what the kernel says.
fn open_files() -> usize {
    let limits = std::fs::read_to_string("/proc/self/limits").unwrap_or_default();
    let line = limits.lines().find_map(|line| line.strip_prefix("Max open files"));
    let soft = line.and_then(|line| line.split_whitespace().next());
    // No such file, no such limit to be seen; then the connections themselves will tell.
    soft.and_then(|soft| soft.parse().ok()).unwrap_or(usize::MAX)
}
