//! What comes on a connection, piece by piece; `None` once it has ended.

use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;

use crate::wire::find;

/// A connection that is read, with what has come and was not asked for yet.
pub struct Incoming {
    pub stream: TcpStream,
    pub read: Vec<u8>,
}

impl Incoming {
    pub fn new(stream: TcpStream) -> Incoming {
        Incoming { stream, read: Vec::new() }
    }

    /// What comes up to this, with it.
    pub async fn until(&mut self, end: &[u8]) -> Option<Vec<u8>> {
        loop {
            if let Some(at) = find(&self.read, end) {
                return Some(self.read.drain(..at + end.len()).collect());
            }
            self.more().await?;
        }
    }

    /// So many bytes.
    pub async fn exactly(&mut self, length: usize) -> Option<Vec<u8>> {
        while self.read.len() < length {
            self.more().await?;
        }
        Some(self.read.drain(..length).collect())
    }

    async fn more(&mut self) -> Option<()> {
        let read = self.stream.read_buf(&mut self.read).await.ok()?;
        (read > 0).then_some(())
    }
}
