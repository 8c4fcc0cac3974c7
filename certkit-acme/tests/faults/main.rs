//! Servers that are not what they should be: every fault ends in bounded time as an error that says what came.
#![allow(clippy::unwrap_used)]

mod answers;
mod orders;
mod server;
