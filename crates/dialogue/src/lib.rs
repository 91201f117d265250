//! Turns, response times and signals of one conversation, folded from its events. Pure: no clock, no I/O.
