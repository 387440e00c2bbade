//! Flags, with where each value comes from.

use clap::parser::ValueSource;
use clap::{ArgMatches, Args, Command, Error, FromArgMatches};
use serde_json::{Map, Value, json};

/// Headers whose values are somebody's secret; more are by their name.
const SECRET_HEADERS: [&str; 4] = ["authorization", "proxy-authorization", "cookie", "set-cookie"];
/// What stands for a secret.
pub(super) const HIDDEN: &str = "(hidden)";

/// The flags of a command, and where each comes from.
#[derive(Debug, Clone)]
pub struct Sourced<T> {
    /// The flags.
    pub args: T,
    /// Where each comes from.
    pub given: Given,
}

/// Each flag's value as it was written, and where it comes from: `flag`, `environment` or
/// `default`.
#[derive(Debug, Clone, Default)]
pub struct Given(Map<String, Value>);

// === impl Sourced ===

impl<T: Args> FromArgMatches for Sourced<T> {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, Error> {
        let given = Given::read::<T>(matches);
        Ok(Self { args: T::from_arg_matches(matches)?, given })
    }

    fn from_arg_matches_mut(matches: &mut ArgMatches) -> Result<Self, Error> {
        let given = Given::read::<T>(matches);
        Ok(Self { args: T::from_arg_matches_mut(matches)?, given })
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

impl<T: Args> Args for Sourced<T> {
    fn augment_args(command: Command) -> Command {
        T::augment_args(command)
    }

    fn augment_args_for_update(command: Command) -> Command {
        T::augment_args_for_update(command)
    }
}

// === impl Given ===

impl Given {
    /// As JSON, by the flags' names.
    pub fn shown(&self) -> Value {
        Value::Object(self.0.clone())
    }

    fn read<T: Args>(matches: &ArgMatches) -> Self {
        let text = |id: &str| {
            let values = matches.try_get_raw(id).ok().flatten()?;
            let values = values.map(|value| value.to_string_lossy());
            Some(values.collect::<Vec<_>>().join(","))
        };
        // Tenants that are told apart by a secret have secrets as names.
        let hides_tenants = text("tenant_header").is_some_and(|name| is_secret(&name));
        let known = T::augment_args(Command::new("flags"));
        let flags = known.get_arguments().filter_map(|flag| {
            let id = flag.get_id().as_str();
            let source = match matches.value_source(id) {
                Some(ValueSource::CommandLine) => "flag",
                Some(ValueSource::EnvVariable) => "environment",
                _ => "default",
            };
            let value = match text(id) {
                Some(_) if hides_tenants && id == "tenant_weights" => Some(HIDDEN.to_owned()),
                Some(_) if id == "drain_token" => Some(HIDDEN.to_owned()),
                value => value,
            };
            Some((flag.get_long()?.to_owned(), json!({ "value": value, "source": source })))
        });
        Self(flags.collect())
    }
}

/// Whether a header's value is not to be shown.
pub(super) fn is_secret(header: &str) -> bool {
    let header = header.to_ascii_lowercase();
    let tells = ["key", "token", "secret", "password", "credential"];
    SECRET_HEADERS.contains(&header.as_str()) || tells.iter().any(|part| header.contains(part))
}

#[cfg(test)]
mod tests {
    use super::super::SidecarArgs;
    use super::*;
    use clap::Parser;

    #[derive(Parser)]
    struct Cli {
        #[command(flatten)]
        sidecar: Sourced<SidecarArgs>,
    }

    fn shown(flags: &[&str]) -> Value {
        let flags = ["sidecar", "--upstream", "127.0.0.1:1"].iter().chain(flags);
        Cli::try_parse_from(flags).unwrap_or_else(|error| panic!("{error}")).sidecar.given.shown()
    }

    #[test]
    fn each_flag_has_its_value_and_its_source() {
        let shown = shown(&["--concurrency", "auto:1-8", "--trusted-hops", "10.0.0.0/8,::1"]);
        for (flag, value, source) in [
            ("concurrency", json!("auto:1-8"), "flag"),
            ("trusted-hops", json!("10.0.0.0/8,::1"), "flag"),
            ("queue-timeout", json!("30s"), "default"),
            ("trust-priority", json!("false"), "default"),
            ("config", Value::Null, "default"),
        ] {
            assert_eq!(shown[flag], json!({ "value": value, "source": source }), "{flag}");
        }
    }

    #[test]
    fn names_of_tenants_that_are_secrets_are_hidden() {
        let with = |header| {
            let flags = ["--tenant-header", header, "--tenant-weights", "gold=4,silver=2"];
            shown(&flags)["tenant-weights"]["value"].clone()
        };
        assert_eq!(with("x-tenant"), "gold=4,silver=2");
        assert_eq!(with("Authorization"), HIDDEN);
        assert_eq!(with("x-api-key"), HIDDEN);
    }
}
