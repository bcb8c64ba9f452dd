//! SIGTERM: what is in flight is finished, nothing new is taken, and the exit says that all is well.

use std::net::TcpStream;
use std::time::{Duration, Instant};

use crate::client::{Connection, Request};
use crate::process::{Example, Origin, Stent, pause};

#[test]
fn what_is_in_flight_is_finished() {
    let origin = Origin::start(Example::FastApi).ready();
    let stent = Stent::before(&origin);
    let address = stent.address;
    // One that is kept, one that is passed and streams, and a connection on which nothing is asked any more.
    let [mut slow, mut events, mut idle] = [0; 3].map(|_| Connection::open(address));
    assert_eq!(idle.ask(&Request::get("/public/info")).status, 200);
    slow.send(&Request::get("/slow?ms=1500"));
    events.send(&Request::get("/events?n=6&gap_ms=300"));
    let until = Instant::now() + Duration::from_secs(10);
    while origin.count("/slow") == 0 || origin.count("/events") == 0 {
        assert!(Instant::now() < until, "they reach the origin");
        pause();
    }
    stent.terminate();
    let streamed = events.answer("GET");
    assert_eq!((streamed.status, streamed.text().matches("data:").count()), (200, 6));
    let slept = slow.answer("GET");
    assert_eq!((slept.status, slept.text().as_str()), (200, "slept 1500 ms\n"));
    let status = stent.ended();
    assert_eq!(status.code(), Some(0), "{status}");
    assert!(TcpStream::connect(address).is_err(), "nobody listens any more");
}
