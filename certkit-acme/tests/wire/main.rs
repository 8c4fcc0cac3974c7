//! The wire: HTTP/2 and few connections, renewal information, revocation lists.
#![allow(clippy::unwrap_used)]

mod http2;
mod renewal_info;
mod revocation;
mod server;
