//! Checks that every executor must pass.
