//! What single words of a document may look like: names, hosts, paths, variables.

/// What [`is_dns_label`] asks for.
pub(super) const DNS_LABEL: &str = "1 to 63 lower-case letters, digits and `-`, with a letter or \
                                    digit at both ends";
/// What [`is_host`] asks for.
pub(super) const HOST: &str = "a host name without scheme, port or path, such as \
                               `models.example.com` or `*.example.com`";
/// What [`is_prefix`] asks for.
pub(super) const PREFIX: &str = "a path that begins with `/`, without query, fragment, spaces, \
                                 `//` or dot segments";
/// What [`is_target`] asks for.
pub(super) const TARGET: &str = "a path that begins with `/`, without fragment or spaces";
/// What [`is_service`] asks for.
pub(super) const SERVICE: &str = "a gRPC service's name, such as `grpc.health.v1.Health`";
/// What a gRPC method's name must be.
pub(super) const METHOD: &str = "a gRPC method's name, such as `Check`";
/// What [`is_model`] asks for.
pub(super) const MODEL: &str =
    "a model's name: 1 to 256 bytes without spaces or control characters";
/// What [`is_header`] asks for.
pub(super) const HEADER: &str = "a header's name: letters, digits, `-` and `_`";
/// What [`is_header_value`] asks for.
pub(super) const HEADER_VALUE: &str = "a header's value: visible ASCII characters, perhaps with \
                                       spaces between them";
/// What [`is_variable`] asks for.
pub(super) const VARIABLE: &str = "an environment variable's name, not empty and without `=`";
/// What [`is_http_url`] asks for.
pub(super) const HTTP_URL: &str = "an address such as `http://127.0.0.1:9090`: plain HTTP, a host, \
                                   perhaps a port and a path";
/// What [`is_metric`] asks for.
pub(super) const METRIC: &str = "a metric's name: letters, digits, `_` and `:`, no digit first";
/// What [`is_label`] asks for.
pub(super) const LABEL: &str = "a label's name: letters, digits and `_`, no digit first";
/// What [`is_token`] asks for.
pub(super) const TOKEN: &str =
    "a name of letters, digits and `!#$%&'*+-.^_|~`, such as `x-session`";
/// What [`has_no_nul`] asks for.
pub(super) const NO_NUL: &str = "text without a NUL character";

/// A label as in RFC 1123: what Kubernetes takes as a name and DNS as one part of a host.
pub(super) fn is_dns_label(text: &str) -> bool {
    let is_inner = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    (1..=63).contains(&text.len())
        && text.bytes().all(is_inner)
        && !text.starts_with('-')
        && !text.ends_with('-')
}

/// A host in lower case, without a port; its first label may be `*`.
pub(super) fn is_host(text: &str) -> bool {
    let name = text.strip_prefix("*.").unwrap_or(text);
    text.len() <= 253 && name.split('.').all(is_dns_label)
}

/// A route's prefix. What a request's path can't hold, or what proxies and models read
/// differently, would only look as if it matched.
pub(super) fn is_prefix(text: &str) -> bool {
    let is_segment = |segment: &str| !matches!(segment, "" | "." | "..");
    let segments = text.strip_prefix('/').map(|rest| rest.strip_suffix('/').unwrap_or(rest));
    is_target(text)
        && !text.contains('?')
        && (text == "/" || segments.is_some_and(|path| path.split('/').all(is_segment)))
}

/// A model's name: what fits a line of a list and a path.
pub(super) fn is_model(text: &str) -> bool {
    let is_plain = |letter: char| !letter.is_whitespace() && !letter.is_control();
    (1..=256).contains(&text.len()) && text.chars().all(is_plain)
}

/// A header's name; of what HTTP allows in one, what is used.
pub(super) fn is_header(text: &str) -> bool {
    let is_inner = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    !text.is_empty() && text.bytes().all(is_inner)
}

/// A header's value as it stands in a head: without spaces around.
pub(super) fn is_header_value(text: &str) -> bool {
    let is_inner = |byte: u8| byte.is_ascii_graphic() || byte == b' ';
    !text.is_empty() && text == text.trim() && text.bytes().all(is_inner)
}

/// The target of a request in origin form: a path, perhaps with a query.
pub(super) fn is_target(text: &str) -> bool {
    text.starts_with('/') && text.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'#')
}

/// A gRPC service's name; empty is the server as a whole.
pub(super) fn is_service(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'/')
}

/// The name of an environment variable.
pub(super) fn is_variable(text: &str) -> bool {
    !text.is_empty() && !text.contains(['=', '\0'])
}

/// A token of RFC 9110, as the names of headers and cookies are.
pub(super) fn is_token(text: &str) -> bool {
    let is_inner = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_|~`".contains(&byte);
    (1..=256).contains(&text.len()) && text.bytes().all(is_inner)
}

/// What the operating system takes as an argument or a variable's value.
pub(super) fn has_no_nul(text: &str) -> bool {
    !text.contains('\0')
}

/// The address of an HTTP server, to which paths are added.
pub(super) fn is_http_url(text: &str) -> bool {
    let Some(rest) = text.strip_prefix("http://") else { return false };
    let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    let (host, port) = match authority.rsplit_once(':') {
        Some((host, port)) if !port.contains(']') => (host, Some(port)),
        _ => (authority, None),
    };
    let is_v6 = |host: &str| {
        let inner = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
        inner.is_some_and(|inner| inner.parse::<std::net::Ipv6Addr>().is_ok())
    };
    let is_name = is_host(&host.to_ascii_lowercase()) && !host.starts_with('*');
    (is_name || is_v6(host))
        && port.is_none_or(|port| port.parse::<std::num::NonZeroU16>().is_ok())
        && (path.is_empty() || (is_target(path) && !path.contains('?')))
}

/// A metric's name as Prometheus has it.
pub(super) fn is_metric(text: &str) -> bool {
    is_label(&text.replace(':', "_"))
}

/// A label's name as Prometheus has it.
pub(super) fn is_label(text: &str) -> bool {
    let is_inner = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    !text.is_empty()
        && text.bytes().all(is_inner)
        && !text.starts_with(|c: char| c.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_that_fit_and_words_that_do_not() {
        type Rule = fn(&str) -> bool;
        let long = "a".repeat(63);
        let too_long = "a".repeat(64);
        let table: &[(Rule, &[&str], &[&str])] = &[
            (
                is_dns_label,
                &["a", "digits", "a-1", "9", &long],
                &["", "A", "-a", "a-", "a.b", &too_long],
            ),
            (
                is_host,
                &["a.b", "localhost", "*.a.b", "127.0.0.1"],
                &["", "*", "a..b", "a:80", "http://a", "a/b", "*.*.a", "[::1]"],
            ),
            (
                is_prefix,
                &["/", "/v1", "/v1/", "/a/b.c", "/%20"],
                &["", "v1", "//", "/a//b", "/a/../b", "/.", "/a?b", "/a#b", "/a b", "/ä"],
            ),
            (is_target, &["/", "/healthz", "/h?x=1"], &["", "h", "/a b", "/a#b", "/a\r\nb"]),
            (is_service, &["", "a.B"], &["a/b", "a b"]),
            (is_model, &["a", "org/Model-7b:q4", "ä"], &["", "a b", "a\n", &"a".repeat(257)]),
            (is_header, &["x-team", "X_1"], &["", "x team", "x:y", "ä"]),
            (is_header_value, &["red", "a b"], &["", " a", "a ", "a\n", "ä"]),
            (is_variable, &["A", "a.b"], &["", "A=B", "A\0"]),
            (is_token, &["x-session", "A_b.1"], &["", "a b", "a:b", "a;b", "\u{e4}"]),
        ];
        for (row, (rule, good, bad)) in table.iter().enumerate() {
            good.iter().for_each(|word| assert!(rule(word), "row {row}: {word} must fit"));
            bad.iter().for_each(|word| assert!(!rule(word), "row {row}: {word} must not fit"));
        }
    }
}
