//! HAProxy, told to do what the others do: one thread, connections kept on both sides, parts of a
//! stream passed on at once, nothing logged.

use super::{Method, Setup, write};
use anyhow::Result;

/// The arguments that run it, once its configuration is written.
pub(super) fn arguments(setup: &Setup<'_>) -> Result<Vec<String>> {
    let config = setup.folder.join("haproxy.cfg");
    write(&config, &render(setup))?;
    // -db: in the foreground and without a master.
    Ok(vec!["-db".into(), "-f".into(), config.display().to_string()])
}

/// The number in `HAProxy version 2.6.12-1 2026/01/01`.
pub(super) fn version(said: &str) -> String {
    let number = said.split_once("version ").map_or("unknown", |(_, rest)| rest);
    number.split_whitespace().next().unwrap_or("unknown").to_owned()
}

fn render(setup: &Setup<'_>) -> String {
    let listen = setup.listen;
    let balance = match setup.method {
        Method::Default => "roundrobin",
        Method::Random => "random(1)",
        Method::TwoRandom => "random(2)",
        Method::Least | Method::LeastOneEach => "leastconn",
    };
    let limit = if setup.method == Method::LeastOneEach { " maxconn 1" } else { "" };
    let servers: String = (1..)
        .zip(setup.upstreams)
        .map(|(number, address)| format!("  server origin{number} {address}{limit}\n"))
        .collect();
    let secured = setup.tls.map_or_else(String::new, |secured| {
        let both = secured.both.display();
        format!(" ssl crt {both} ssl-min-ver TLSv1.3 alpn h2,http/1.1")
    });
    // Without http-no-delay it holds back the parts of a stream for up to 200 ms.
    format!(
        "global
  nbthread 1
  maxconn 4096
defaults
  mode http
  no log
  option http-keep-alive
  option http-no-delay
  http-reuse always
  timeout connect 5s
  timeout client 300s
  timeout server 300s
  timeout http-keep-alive 300s
frontend in
  bind {listen}{secured}
  default_backend origin
backend origin
  balance {balance}
{servers}"
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::SocketAddr;
    use std::path::Path;

    #[test]
    fn every_upstream_is_a_server() {
        let address = |port: u16| SocketAddr::from(([127, 0, 0, 1], port));
        let upstreams = [address(7001), address(7002)];
        let config = render(&Setup {
            listen: address(7000),
            admin: address(7009),
            upstreams: &upstreams,
            admins: &[],
            method: Method::LeastOneEach,
            folder: Path::new("/folder"),
            single_process: false,
            tls: None,
        });
        for line in [
            "bind 127.0.0.1:7000",
            "server origin1 127.0.0.1:7001",
            "server origin2 127.0.0.1:7002 maxconn 1",
            "balance leastconn",
        ] {
            assert!(config.contains(line), "no {line} in\n{config}");
        }
    }

    #[test]
    fn the_version_is_the_number() {
        let said = "HAProxy version 2.6.12-1+deb12u4 2026/10/17 - https://haproxy.org/\n";
        assert_eq!(version(said), "2.6.12-1+deb12u4");
    }
}
