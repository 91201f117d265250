//! The all-in-one binary and command line.
