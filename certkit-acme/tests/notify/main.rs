//! Notices on their way: a real mail server, real web servers on loopback, programs that keep what they are given.
#![allow(clippy::unwrap_used)]

mod heartbeat;
mod local;
#[cfg(feature = "mail")]
mod mail;
mod queue;
mod support;
mod webhooks;
