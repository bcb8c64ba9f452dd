//! Connections that are read byte by byte, where what comes and when is the matter.

use tokio::io::{AsyncRead, AsyncReadExt};

use crate::scenario::LIMIT;

/// What comes up to this, with it and nothing behind it.
pub async fn until(stream: &mut (impl AsyncRead + Unpin), end: &str) -> String {
    let (mut read, mut byte) = (Vec::new(), [0]);
    while !read.ends_with(end.as_bytes()) {
        let got = tokio::time::timeout(LIMIT, stream.read(&mut byte)).await.expect("bytes in time").unwrap();
        assert_eq!(got, 1, "it ended after {:?}", String::from_utf8_lossy(&read));
        read.push(byte[0]);
    }
    String::from_utf8_lossy(&read).into_owned()
}
