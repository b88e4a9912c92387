//! The lab as those meet it who run against it: started as a process, asked over the network, killed.

mod catalog;
mod cutover;
mod faults;
mod lives;
mod rig;
mod services;
