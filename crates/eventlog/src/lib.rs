//! The ordered event log, its two homes, and the runner that folds it.
