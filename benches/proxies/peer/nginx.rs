//! nginx, told to do what the others do: one worker, connections kept on both sides, bodies passed
//! on as they come, nothing logged.

use super::{Method, Setup, write};
use crate::load::Secured;
use anyhow::{Result, bail};

/// The arguments that run it, once its configuration is written.
pub(super) fn arguments(setup: &Setup<'_>) -> Result<Vec<String>> {
    let config = setup.folder.join("nginx.conf");
    write(&config, &render(setup)?)?;
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

fn render(setup: &Setup<'_>) -> Result<String> {
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
{temporary}  upstream origin {{
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
    }}
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
        let config = render(&setup).expect("it can");
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

    #[test]
    fn the_version_is_the_number() {
        assert_eq!(version("nginx version: nginx/1.22.1\n"), "1.22.1");
        assert_eq!(version("nginx version: nginx/1.24.0 (Ubuntu)\n"), "1.24.0");
        assert_eq!(version("?"), "unknown");
    }
}
