//! Switching `live/NAME` to another version in one step.
