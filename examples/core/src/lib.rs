//! What the programs in `src/bin` are made of where a file would be too long; all of them need certkit-core alone.
#![forbid(unsafe_code)]

pub mod simulation;
