//! slipring.
