//! Programs that need certkit-core alone: see `src/bin`.
