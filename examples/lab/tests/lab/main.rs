//! The lab as its users meet it.
