//! What every connection is told when it is opened, on either side.

use tokio::net::TcpStream;

/// Small writes leave at once. Between two programs of one machine nothing is ever congested, so nothing need be measured or
/// paced there: that costs a fifth of the time in the kernel where its default is BBR.
///
/// Neither is needed for a connection to work, so a refusal is ignored.
pub fn prepare(stream: &TcpStream) {
    let _ = stream.set_nodelay(true);
    if stream.peer_addr().is_ok_and(|peer| peer.ip().to_canonical().is_loopback()) {
        let _ = socket2::SockRef::from(stream).set_tcp_congestion(b"reno");
    }
}
