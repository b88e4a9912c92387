//! The built-in executors against real processes, sockets, files and name servers.

#[cfg(test)]
mod attempt;
#[cfg(test)]
mod command;
#[cfg(test)]
mod conformance;
#[cfg(test)]
mod dns;
#[cfg(test)]
mod files;
#[cfg(test)]
mod http_call;
#[cfg(test)]
mod http_probe;
#[cfg(test)]
mod name_server;
#[cfg(test)]
mod pages;
#[cfg(test)]
mod server;
#[cfg(test)]
mod tcp_probe;
#[cfg(test)]
mod wait;
