//! Programs that need certkit-acme: see `src/bin`.

/// The programs in the workspace's README compile, too.
#[cfg(doctest)]
#[doc = include_str!("../../../README.md")]
struct Readme;
