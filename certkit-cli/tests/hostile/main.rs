//! CAs that deviate from ACME at one place, and the real binary that renews a certificate at them or obtains a first one.
//!
//! Each case is a row of docs/hostile-authorities.md. Whatever the CA does, the run ends by itself and within bounds of
//! memory, nothing outside certkit's own folder changes unless the certificate was renewed, nothing reaches a shell, and
//! no control character reaches a terminal or a file; see `run.rs`.
#![allow(clippy::unwrap_used)]

mod advice;
mod case;
mod certificates;
mod every_byte;
mod first;
mod flow;
mod json;
mod metadata_service;
mod nonces;
mod refusals;
mod run;
mod table;
mod tokens;
mod transport;
mod world;
