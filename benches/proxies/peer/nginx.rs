//! nginx, told to do what the others do: one worker, connections kept on both sides, bodies passed
//! on as they come, nothing logged. Once with the least that a proxy can do, and once with as much of the
//! sidecar's work as it can be told to do.

use super::{Method, Setup, write};
use crate::load::Secured;
use anyhow::{Result, bail};

/// How much it is told to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Work {
    /// Pass requests on.
    Least,
    /// Limit them, and tell the origin and the client what the sidecar tells them.
    Alike,
}

/// A limit that is in force and never reached.
const LIMIT: &str = "  limit_conn_zone $server_name zone=model:1m;\n";

/// The lines that the sidecar adds to a request, and the one it adds to an answer. nginx has no
/// number of 16 digits to name a span with, so its trace's is one that stays.
const ALIKE: &str = "      limit_conn model 1024;
      proxy_set_header Host $http_host;
      proxy_set_header Forwarded \"for=$remote_addr;host=$http_host;proto=$scheme\";
      proxy_set_header Via \"1.1 nginx\";
      proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
      proxy_set_header X-Forwarded-Proto $scheme;
      proxy_set_header X-Forwarded-Host $http_host;
      proxy_set_header X-Request-Id $request_id;
      proxy_set_header traceparent 00-$request_id-3595a3ea6dcaf2d9-01;
      add_header X-Request-Id $request_id always;
";

/// The arguments that run it, once its configuration is written.
pub(super) fn arguments(setup: &Setup<'_>, work: Work) -> Result<Vec<String>> {
    let config = setup.folder.join("nginx.conf");
    write(&config, &render(setup, work)?)?;
    let folder = setup.folder.display().to_string();
    Ok(vec![
        "-p".into(),
        folder,
        "-c".into(),
        config.display().to_string(),
        "-e".into(),
        "stderr".into(),
    ])
}

/// The number in `nginx version: nginx/1.22.1`.
pub(super) fn version(said: &str) -> String {
    let number = said.split_once("nginx/").map_or("unknown", |(_, rest)| rest);
    number.split_whitespace().next().unwrap_or("unknown").to_owned()
}

fn render(setup: &Setup<'_>, work: Work) -> Result<String> {
    let folder = setup.folder.display();
    let listen = setup.listen;
    let master = if setup.single_process { "off" } else { "on" };
    let method = match setup.method {
        Method::Default => "",
        Method::Random => "    random;\n",
        Method::TwoRandom => "    random two least_conn;\n",
        Method::Least => "    least_conn;\n",
        Method::LeastOneEach => bail!("it keeps no requests back: max_conns refuses them"),
    };
    let servers: String =
        setup.upstreams.iter().map(|address| format!("    server {address};\n")).collect();
    let temporary: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
        .map(|kind| format!("  {kind}_temp_path {folder}/{kind};\n"))
        .concat();
    let (limit, alike) = if work == Work::Alike { (LIMIT, ALIKE) } else { ("", "") };
    let (secured, certificate) = match setup.tls {
        None => ("", String::new()),
        Some(Secured { certificate, key, .. }) => {
            let (certificate, key) = (certificate.display(), key.display());
            let files = format!("ssl_certificate {certificate};\n    ssl_certificate_key {key};");
            (" ssl http2", format!("    {files}\n    ssl_protocols TLSv1.3;\n"))
        }
    };
    Ok(format!(
        "daemon off;
master_process {master};
worker_processes 1;
pid {folder}/nginx.pid;
error_log stderr crit;
events {{
  worker_connections 4096;
}}
http {{
  access_log off;
{temporary}{limit}  upstream origin {{
{method}{servers}    keepalive 512;
    keepalive_requests 1000000000;
    keepalive_timeout 300s;
  }}
  server {{
    listen {listen}{secured} reuseport;
{certificate}    keepalive_requests 1000000000;
    keepalive_timeout 300s;
    client_max_body_size 0;
    location / {{
      proxy_pass http://origin;
      proxy_http_version 1.1;
      proxy_set_header Connection \"\";
      proxy_buffering off;
      proxy_request_buffering off;
      client_body_buffer_size 64k;
{alike}    }}
  }}
}}
"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::SocketAddr;
    use std::path::Path;

    #[test]
    fn every_upstream_is_listed_and_brackets_match() {
        let address = |port: u16| SocketAddr::from(([127, 0, 0, 1], port));
        let upstreams = [address(7001), address(7002)];
        let setup = Setup {
            listen: address(7000),
            admin: address(7009),
            upstreams: &upstreams,
            admins: &[],
            method: Method::TwoRandom,
            folder: Path::new("/folder"),
            single_process: true,
            tls: None,
        };
        let least = render(&setup, Work::Least).expect("it can");
        let alike = render(&setup, Work::Alike).expect("it can");
        let added: Vec<_> = alike.lines().filter(|line| !least.contains(line)).collect();
        assert_eq!(added.len(), 11, "one limit in its zone, and nine lines of heads: {added:?}");
        for config in [least, alike] {
            for line in [
                "listen 127.0.0.1:7000 reuseport;",
                "server 127.0.0.1:7001;",
                "server 127.0.0.1:7002;",
                "random two least_conn;",
                "master_process off;",
                "proxy_temp_path /folder/proxy;",
            ] {
                assert!(config.contains(line), "no {line} in\n{config}");
            }
            assert_eq!(config.matches('{').count(), config.matches('}').count());
        }
    }

    #[test]
    fn the_version_is_the_number() {
        assert_eq!(version("nginx version: nginx/1.22.1\n"), "1.22.1");
        assert_eq!(version("nginx version: nginx/1.24.0 (Ubuntu)\n"), "1.24.0");
        assert_eq!(version("?"), "unknown");
    }
}
