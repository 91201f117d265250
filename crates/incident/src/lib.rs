//! Signals, commands and time to incidents and pages. Pure: no clock, no I/O.
