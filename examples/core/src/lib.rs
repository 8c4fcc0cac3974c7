//! Programs that need certkit-core alone: see `src/bin`.
#![forbid(unsafe_code)]

pub mod simulation;
