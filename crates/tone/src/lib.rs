//! Text to assessment: politeness, sentiment, complaint and urgency, with evidence spans. Pure: no clock, no I/O.
