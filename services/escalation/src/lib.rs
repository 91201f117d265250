//! Keeps incidents with people until they are resolved.
