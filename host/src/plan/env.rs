//! The variables that a step sees.
