//! A port for a model to listen on.
//!
//! Asking the kernel for any free port gives one that the next outgoing connection, or another
//! program that asks likewise, may take before the model binds it. So ports are drawn from below
//! the kernel's own range, which nobody is given unasked.

use std::collections::BTreeSet;
use std::net::{Ipv4Addr, TcpListener};

/// The lowest port drawn: above what well-known servers and development tools use by habit.
const LOWEST: u16 = 20_000;

/// The lowest port the kernel gives by itself where it does not say (Linux's default).
const KERNEL_LOWEST: u16 = 32_768;

/// Draws before giving up: fails only when nearly all ports are taken.
const DRAWS: usize = 1_000;

/// A free loopback port that is not in `taken`.
pub(super) fn free(taken: &BTreeSet<u16>) -> std::io::Result<u16> {
    let highest = kernel_lowest().max(LOWEST + 1_000);
    let mut last = None;
    for _ in 0..DRAWS {
        let port = fastrand::u16(LOWEST..highest);
        if taken.contains(&port) {
            continue;
        }
        match TcpListener::bind((Ipv4Addr::LOCALHOST, port)) {
            Ok(_) => return Ok(port),
            Err(error) => last = Some(error),
        }
    }
    let all_taken = || std::io::Error::other(format!("no free port from {LOWEST} to {highest}"));
    Err(last.unwrap_or_else(all_taken))
}

fn kernel_lowest() -> u16 {
    std::fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range")
        .ok()
        .and_then(|range| range.split_whitespace().next()?.parse().ok())
        .unwrap_or(KERNEL_LOWEST)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_can_be_bound_and_is_not_one_that_is_taken() {
        let mut taken = BTreeSet::new();
        for _ in 0..50 {
            let port = free(&taken).unwrap();
            assert!(port >= LOWEST);
            assert!(taken.insert(port), "{port} was given twice");
        }
    }
}
