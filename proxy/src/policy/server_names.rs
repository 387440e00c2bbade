//! Which certificates are for a name that a client asks for (RFC 9525 section 6.3): those that have
//! the name itself, else those that have a `*` in the place of its first label.

use std::collections::HashMap;

/// Values by the names of servers.
#[derive(Debug)]
pub struct ServerNames<T> {
    exact: HashMap<String, Vec<T>>,
    /// By what stands behind `*.`.
    wild: HashMap<String, Vec<T>>,
}

// === impl ServerNames ===

impl<T> Default for ServerNames<T> {
    fn default() -> Self {
        Self { exact: HashMap::new(), wild: HashMap::new() }
    }
}

impl<T> ServerNames<T> {
    /// One more value for a name, after those that it has.
    pub fn add(&mut self, name: &str, value: T) {
        let name = name.to_ascii_lowercase();
        match name.strip_prefix("*.") {
            Some(parent) => self.wild.entry(parent.to_owned()).or_default().push(value),
            None => self.exact.entry(name).or_default().push(value),
        }
    }

    /// The values for a name, in the order in which they were added.
    pub fn find(&self, name: &str) -> &[T] {
        let name = name.to_ascii_lowercase();
        let wild = || self.wild.get(name.split_once('.')?.1);
        self.exact.get(&name).or_else(wild).map_or(&[], Vec::as_slice)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_comes_before_a_wildcard_and_a_wildcard_is_one_label() {
        let mut names = ServerNames::default();
        for (name, value) in
            [("a.test", 1), ("*.test", 2), ("A.TEST", 3), ("*.b.test", 4), ("*.Test", 5)]
        {
            names.add(name, value);
        }
        for (name, expected) in [
            ("a.test", &[1, 3][..]),
            ("A.Test", &[1, 3]),
            ("c.test", &[2, 5]),
            ("x.b.test", &[4]),
            ("b.test", &[2, 5]),
            ("x.y.b.test", &[]),
            ("x.a.test", &[]),
            ("test", &[]),
            ("", &[]),
        ] {
            assert_eq!(names.find(name), expected, "{name}");
        }
    }
}
