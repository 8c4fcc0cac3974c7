//! Known certificate authorities, as dated data.
