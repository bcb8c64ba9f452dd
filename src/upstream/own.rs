//! Connections to origins that belong to one client's connection: NTLM and Negotiate sign in a connection, not a request, so
//! whoever else's request went out on it would be taken for that client.
//!
//! They never come from a pool's idle list and never go back to it, and neither the pool's idle time nor its age ends them:
//! the client could not know that it is signed in no longer. They close with the client's connection, and count against the
//! pool's cap until then.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::pool::{Connection, Server, is_quiet};

/// Those of one client's connection, one for each upstream that it used.
#[derive(Debug, Default)]
pub struct OwnConnections {
    held: Mutex<Vec<Own>>,
}

#[derive(Debug)]
struct Own {
    server: Arc<Server>,
    /// `None` while it carries a request, and once it has ended.
    connection: Option<Connection>,
}

impl OwnConnections {
    /// Which of an upstream's servers the client has its connection to, if it has one: by their places in `servers`.
    pub(super) fn server(&self, servers: &[Arc<Server>]) -> Option<usize> {
        let held = self.held();
        servers.iter().position(|server| held.iter().any(|own| Arc::ptr_eq(&own.server, server)))
    }

    /// The connection to that server, if it is there and has not ended.
    pub(super) fn take(&self, server: &Arc<Server>) -> Option<Connection> {
        let mut held = self.held();
        let own = held.iter_mut().find(|own| Arc::ptr_eq(&own.server, server))?;
        own.connection.take().filter(|connection| is_quiet(&connection.stream))
    }

    /// From now on the client's connection to this upstream is one to `server`; others to it are closed.
    pub(super) fn choose(&self, server: &Arc<Server>) {
        let mut held = self.held();
        // By name: one that a configuration from before has left behind is of no use any more.
        held.retain(|own| own.server.upstream != server.upstream || Arc::ptr_eq(&own.server, server));
        if !held.iter().any(|own| Arc::ptr_eq(&own.server, server)) {
            held.push(Own { server: server.clone(), connection: None });
        }
    }

    /// Back to the client. Only a connection that is ready for its next request may come back.
    pub(super) fn put(&self, server: &Arc<Server>, connection: Connection) {
        if let Some(own) = self.held().iter_mut().find(|own| Arc::ptr_eq(&own.server, server)) {
            own.connection = Some(connection);
        }
    }

    fn held(&self) -> MutexGuard<'_, Vec<Own>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
