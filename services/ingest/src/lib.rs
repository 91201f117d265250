//! Takes events from contact-centre platforms, masks them and appends them to the log.
