//! After a granted upgrade: bytes both ways, until both sides have closed or nothing moves any more.

use std::io;

use tokio::net::TcpStream;
use tokio::net::tcp::OwnedReadHalf;

use super::line::Line;
use crate::body::Tunnel;
use crate::http1::source::Source;

/// Bytes that are carried at a time.
const ROOM: usize = 16 << 10;

/// Carries bytes until the end.
pub(super) async fn run(source: Source<OwnedReadHalf>, line: &Line, tunnel: Tunnel) {
    let (_read, early) = source.into_parts();
    let Tunnel { origin, from_origin, _seat } = tunnel;
    let client = line.socket();
    let up = carry(client, &origin, early, line);
    let down = carry(&origin, client, from_origin, line);
    // One that breaks ends both; one that ends leaves the other. One in which nothing moves is ended by the watch.
    let _ = tokio::try_join!(up, down);
}

async fn carry(from: &TcpStream, to: &TcpStream, early: Vec<u8>, line: &Line) -> io::Result<()> {
    write_all(to, &early).await?;
    drop(early);
    loop {
        from.readable().await?;
        // Taken from the heap only while there is something to carry: most tunnels idle.
        let mut room = vec![0; ROOM];
        match from.try_read(&mut room) {
            Ok(0) => return socket2::SockRef::from(to).shutdown(std::net::Shutdown::Write),
            Ok(came) => {
                line.moved();
                write_all(to, &room[..came]).await?;
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
    }
}

async fn write_all(to: &TcpStream, mut bytes: &[u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        to.writable().await?;
        match to.try_write(bytes) {
            Ok(written) => bytes = &bytes[written..],
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}
