//! Scores every message and folds conversations into facts and signals.
