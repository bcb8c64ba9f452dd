//! After a granted upgrade: bytes both ways, until both sides have closed or nothing moves any more.

use std::future::poll_fn;
use std::io::{self, IoSlice};

use super::line::Line;
use super::request_body::RequestSource;
use crate::body::Tunnel;
use crate::http1::wire::Wire;

/// Bytes that are carried at a time.
const ROOM: usize = 16 << 10;

/// Carries bytes until the end.
pub(super) async fn run(source: RequestSource, line: &Line, tunnel: Tunnel) {
    let (_read, early) = source.into_parts();
    let Tunnel { origin, from_origin, seat: _seat } = tunnel;
    let client = line.write_side();
    let up = carry(client, &origin, early, line);
    let down = carry(&origin, client, from_origin, line);
    // One that breaks ends both; one that ends leaves the other. One in which nothing moves is ended by the watch.
    let _ = tokio::try_join!(up, down);
}

async fn carry(from: &impl Wire, to: &impl Wire, early: Vec<u8>, line: &Line) -> io::Result<()> {
    write_all(to, &early).await?;
    drop(early);
    loop {
        poll_fn(|cx| from.poll_readable(cx)).await?;
        // Taken from the heap only while there is something to carry: most tunnels idle.
        let mut room = vec![0; ROOM];
        match from.try_read(&mut room) {
            Ok(0) => return to.finish(),
            Ok(came) => {
                line.moved();
                write_all(to, &room[..came]).await?;
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
    }
}

async fn write_all(to: &impl Wire, mut bytes: &[u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        poll_fn(|cx| to.poll_writable(cx)).await?;
        match to.try_write(&[IoSlice::new(bytes)]) {
            Ok(written) => bytes = &bytes[written..],
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
    }
    poll_fn(|cx| to.poll_flush(cx)).await
}
