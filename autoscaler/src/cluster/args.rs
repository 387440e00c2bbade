//! Flags of `run --kubernetes`.

use std::time::Duration;

/// What only a cluster needs.
#[derive(Debug, Clone, clap::Args)]
#[command(next_help_heading = "Kubernetes")]
pub(crate) struct KubernetesArgs {
    /// Scale what the InferenceApis of a cluster name. The cluster is that of KUBECONFIG or, in a
    /// pod, its own.
    #[arg(long, env = "TIDEGATE_AUTOSCALER_KUBERNETES")]
    pub(crate) kubernetes: bool,
    /// The context of KUBECONFIG; by default the current one.
    #[arg(long, value_name = "NAME", requires = "kubernetes", env = "TIDEGATE_AUTOSCALER_CONTEXT")]
    pub(crate) context: Option<String>,
    /// Only InferenceApis and pods of this namespace; by default those of all.
    #[arg(
        long,
        value_name = "NAME",
        requires = "kubernetes",
        env = "TIDEGATE_AUTOSCALER_NAMESPACE"
    )]
    pub(crate) namespace: Option<String>,
    /// Only pods with these labels, as in `tidegate.dev/injected=true`; by default all.
    #[arg(
        long,
        value_name = "LABELS",
        default_value = "",
        hide_default_value = true,
        env = "TIDEGATE_AUTOSCALER_PODS"
    )]
    pub(crate) pods: String,
    /// The labels of gateways' pods; empty where there are none.
    #[arg(
        long,
        value_name = "LABELS",
        default_value = "app.kubernetes.io/name=tidegate,app.kubernetes.io/component=gateway",
        env = "TIDEGATE_AUTOSCALER_GATEWAYS"
    )]
    pub(crate) gateways: String,
    /// The namespace of gateways' pods and of the lease; by default the context's or the pod's.
    #[arg(long, value_name = "NAME", env = "TIDEGATE_AUTOSCALER_OWN_NAMESPACE")]
    pub(crate) own_namespace: Option<String>,
    /// The Lease that says which of several autoscalers writes.
    #[arg(
        long,
        value_name = "NAME",
        default_value = "tidegate-autoscaler",
        env = "TIDEGATE_AUTOSCALER_LEASE"
    )]
    pub(crate) lease: String,
    /// How long the lease of an autoscaler counts that has died; whole seconds. It stops writing
    /// after two thirds of it.
    #[arg(
        long,
        value_name = "TIME",
        default_value = "15s",
        value_parser = whole_seconds,
        env = "TIDEGATE_AUTOSCALER_LEASE_DURATION"
    )]
    pub(crate) lease_duration: Duration,
    /// This autoscaler's name in the lease, unlike any other's; by default the host's name and
    /// something random.
    #[arg(long, value_name = "NAME", env = "TIDEGATE_AUTOSCALER_IDENTITY")]
    pub(crate) identity: Option<String>,
    /// The most sidecars to read at one tick. Where there are more, they take turns.
    #[arg(
        long,
        value_name = "COUNT",
        default_value_t = 2000,
        value_parser = clap::value_parser!(u32).range(1..=100_000),
        env = "TIDEGATE_AUTOSCALER_MOST_SCRAPES"
    )]
    pub(crate) most_scrapes: u32,
    /// Who says what sidecars and gateways do: they themselves, or the Prometheus of --prometheus, which
    /// must scrape them at least twice a minute, with the labels `namespace` and `pod` as the chart's
    /// PodMonitors have it. It spares the network, and decisions come later by the time between two
    /// scrapes.
    #[arg(
        long,
        value_name = "WHO",
        value_enum,
        default_value = "pods",
        requires_if("prometheus", "prometheus"),
        env = "TIDEGATE_AUTOSCALER_SOURCE"
    )]
    pub(crate) source: SampleSource,
    /// How often that Prometheus is asked.
    #[arg(
        long,
        value_name = "TIME",
        default_value = "5s",
        value_parser = humantime::parse_duration,
        env = "TIDEGATE_AUTOSCALER_SOURCE_PERIOD"
    )]
    pub(crate) source_period: Duration,
    /// The service accounts of gateways that may wake APIs (`POST /wake/NAMESPACE/NAME`), by their
    /// tokens; by default none.
    #[arg(
        long,
        value_name = "NAMESPACE/NAME",
        value_delimiter = ',',
        value_parser = service_account,
        env = "TIDEGATE_AUTOSCALER_WAKE_SERVICE_ACCOUNTS"
    )]
    pub(crate) wake_service_accounts: Vec<String>,
    /// The audience that those tokens must be for.
    #[arg(
        long,
        value_name = "TEXT",
        default_value = "tidegate-autoscaler",
        env = "TIDEGATE_AUTOSCALER_WAKE_AUDIENCE"
    )]
    pub(crate) wake_audience: String,
}

/// Who says what sidecars and gateways do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum SampleSource {
    /// They themselves, each at each tick.
    Pods,
    /// A Prometheus that scrapes them.
    Prometheus,
}

impl KubernetesArgs {
    /// How often Prometheus is asked for what pods do, if it is.
    pub(crate) fn recorded(&self) -> Option<Duration> {
        (self.source == SampleSource::Prometheus).then_some(self.source_period)
    }
}

fn service_account(text: &str) -> Result<String, String> {
    let is_name = |name: &str| {
        let is_letter = |letter: u8| letter.is_ascii_lowercase() || letter.is_ascii_digit();
        !name.is_empty() && name.bytes().all(|letter| is_letter(letter) || b"-.".contains(&letter))
    };
    match text.split_once('/') {
        Some((namespace, name)) if is_name(namespace) && is_name(name) => Ok(text.to_owned()),
        _ => {
            Err("it must be a namespace, `/` and a name, as in tidegate/tidegate-gateway"
                .to_owned())
        }
    }
}

fn whole_seconds(text: &str) -> Result<Duration, String> {
    let duration = humantime::parse_duration(text).map_err(|error| error.to_string())?;
    if duration.subsec_nanos() != 0 || !(2..=3600).contains(&duration.as_secs()) {
        return Err("it must be whole seconds, from 2s to 1h".to_owned());
    }
    Ok(duration)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_service_account_has_a_namespace_and_a_name() {
        assert_eq!(service_account("tidegate/gateway"), Ok("tidegate/gateway".to_owned()));
        for bad in ["", "gateway", "/gateway", "tidegate/", "a/b/c", "a/b:c", "A/b"] {
            assert!(service_account(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_lease_counts_for_whole_seconds() {
        assert_eq!(whole_seconds("15s"), Ok(Duration::from_secs(15)));
        for bad in ["1s", "1500ms", "2h", "soon"] {
            assert!(whole_seconds(bad).is_err(), "{bad}");
        }
    }
}
