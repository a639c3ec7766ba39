//! What one call asks for beyond its method and request.

use std::time::Duration;

use crate::wire::Metadata;

/// What one call asks for beyond its method and request.
///
/// ```
/// use std::time::Duration;
/// use udp_rpc::client::Options;
///
/// let mut options = Options::within(Duration::from_millis(250));
/// options.metadata.insert("tenant", "north")?;
/// # Ok::<(), udp_rpc::wire::MetadataError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Options {
    /// How long to wait for the answer; the client's own timeout if not said. A call made on
    /// behalf of another waits no longer than that one has left.
    pub timeout: Option<Duration>,
    /// Whether to issue the call again when it is proved that it did not run and the reason may
    /// pass; the client's own choice if not said.
    pub retry: Option<bool>,
    /// What goes with the request.
    pub metadata: Metadata,
    /// The call is not on behalf of the one inside which it is made
    /// ([`Scope`](crate::service::Scope)): it takes neither its deadline nor its trace context,
    /// and goes on when that one is cancelled.
    pub detached: bool,
}

impl Options {
    /// Options that say nothing but how long to wait.
    pub fn within(timeout: Duration) -> Self {
        Self { timeout: Some(timeout), ..Self::default() }
    }
}
