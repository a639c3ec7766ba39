//! Tests of the client core.
