//! End-to-end, conformance, chaos and load tests of the running system.
