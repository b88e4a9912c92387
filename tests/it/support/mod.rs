//! A night without a night: plans in a few lines, a data centre in memory, time at will.
//!
//! Start with [`night::Night`] for a scripted night, with [`history`] for a random one.

pub(crate) mod choices;
pub(crate) mod history;
pub(crate) mod night;
pub(crate) mod people;
pub(crate) mod plans;
pub(crate) mod random_plan;
pub(crate) mod sim;
pub(crate) mod story;
pub(crate) mod world;
