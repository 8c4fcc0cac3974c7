//! Metrics over HTTP, for Prometheus: `/metrics` and `/healthz`.
//!
//! What is told comes from a [`MetricsSource`]; [`Monitor`](crate::Monitor) is the one of the long run. Neither is there any
//! access control nor TLS: whoever reaches the socket reads the names of all certificates.

mod serve;
pub use serve::{ServeError, serve};

use crate::BoxFuture;

/// What is told over HTTP.
pub trait MetricsSource: Send + Sync + 'static {
    /// The metrics in Prometheus' text format, or why there are none: a sentence without a full stop, escaped.
    fn metrics(&self) -> BoxFuture<'_, Result<String, String>>;

    /// How the program is. Answers at once.
    fn health(&self) -> Health;
}

/// How a program is.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Health {
    /// It works as it should. With what it does, for people, escaped.
    Well(String),
    /// It does not. With the reason, for people, escaped.
    Ill(String),
}
