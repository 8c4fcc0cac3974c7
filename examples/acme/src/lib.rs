//! Programs that need certkit-acme: see `src/bin`.
