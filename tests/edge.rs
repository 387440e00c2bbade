//! What passes between the proxy and those around it: hops before and after, operators.

mod access_log;
mod config;
mod connections;
mod hops;
mod load;
mod metrics;
mod proxy_protocol;
mod redirect;
mod silence;
mod takeover;
mod tls;
mod tokens;
