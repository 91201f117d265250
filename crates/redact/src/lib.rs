//! Masking of personal data and keyed pseudonyms. Pure: no clock, no I/O.
