//! The facade under the model checker.
