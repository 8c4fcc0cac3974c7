//! Faults below the command: deaths and errors at each system call that changes a tree, power cuts, full file systems.
//!
//! - [`tracer`], [`call`]: a run of the command, held at each call that changes something.
//! - [`world`], [`operation`]: a CA and trees, and what the command does to them.
//! - [`look`], [`reader`]: what a tree is like: by independent eyes, and by certbot's.
//! - [`trial`], [`matrix`]: one fault, and all of them.
//! - [`power`], [`space`]: power cuts on real file systems, and too small ones.
//! - [`crowd`]: many runs at once.
//! - [`soak`]: thousands of runs that are killed at random times.
//! - [`swap`]: somebody who exchanges what lies in the tree for links that lead out of it.
//! - [`network`]: packets that are lost, late or answered by resets, and DNS that fails.
//!
//! The tests of the command use it, and `cargo run -p certkit-faults` goes through everything.
#![forbid(unsafe_code)]
// Test support speaks by panicking: a helper that cannot do its work ends the test with the reason.
#![allow(clippy::unwrap_used)]

pub mod call;
pub mod crowd;
pub mod look;
pub mod matrix;
pub mod network;
pub mod operation;
pub mod power;
mod process;
pub mod reader;
pub mod soak;
pub mod space;
pub mod swap;
pub mod tracer;
pub mod trial;
pub mod world;
