//! Which container of a pod is the model, and where it listens. In doubt: none. Pure.

use serde_json::Value;
use tidegate_api::names::annotation;

/// The model's container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Model {
    /// Its place among the containers.
    pub(super) index: usize,
    /// Where it listens.
    pub(super) port: u16,
    /// Its own HTTP readiness probe, if a sidecar can ask the same.
    pub(super) probe: Option<Probe>,
}

/// A readiness probe by HTTP.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Probe {
    /// Begins with `/`.
    pub(super) path: String,
    /// Between two.
    pub(super) period_seconds: u64,
    /// The longest one may take.
    pub(super) timeout_seconds: u64,
    /// How many fail in a row.
    pub(super) failures: u64,
}

/// Finds the model, or says why it can't be told.
pub(super) fn model(pod: &Value) -> Result<Model, String> {
    let none = Vec::new();
    let containers = pod["spec"]["containers"].as_array().unwrap_or(&none);
    let index = container(containers, note(pod, annotation::CONTAINER))?;
    let container = &containers[index];
    let name = container["name"].as_str().unwrap_or("");
    let port = port(container, note(pod, annotation::PORT))
        .map_err(|why| format!("container {name}: {why}"))?;
    Ok(Model { index, port, probe: probe(container, port) })
}

/// What a pod's annotation says, if anything.
pub(super) fn note<'a>(pod: &'a Value, name: &str) -> Option<&'a str> {
    pod["metadata"]["annotations"][name].as_str().map(str::trim)
}

/// All containers of a pod, also those that start before the others.
pub(super) fn containers(pod: &Value) -> impl Iterator<Item = &Value> {
    let of = |list: &'static str| pod["spec"][list].as_array().into_iter().flatten();
    of("initContainers").chain(of("containers"))
}

fn container(containers: &[Value], named: Option<&str>) -> Result<usize, String> {
    if let Some(named) = named {
        let found = containers.iter().position(|container| container["name"] == named);
        return found.ok_or_else(|| {
            format!("there is no container {named:?}; correct {}", annotation::CONTAINER)
        });
    }
    match containers {
        [] => Err("it has no containers".to_owned()),
        [_] => Ok(0),
        several => {
            let listens = |container: &Value| {
                container["ports"].as_array().is_some_and(|ports| !ports.is_empty())
            };
            let mut with_ports = (0..several.len()).filter(|&index| listens(&several[index]));
            match (with_ports.next(), with_ports.next()) {
                (Some(only), None) => Ok(only),
                _ => Err(format!(
                    "it has {} containers; say which is the model with {}",
                    several.len(),
                    annotation::CONTAINER
                )),
            }
        }
    }
}

fn port(container: &Value, said: Option<&str>) -> Result<u16, String> {
    let none = Vec::new();
    let ports = container["ports"].as_array().unwrap_or(&none);
    let tcp = |port: &&Value| matches!(port["protocol"].as_str(), None | Some("TCP"));
    let ports: Vec<&Value> = ports.iter().filter(tcp).collect();
    let number = |port: &Value| {
        let number = port["containerPort"].as_u64().and_then(|port| u16::try_from(port).ok());
        number.filter(|port| *port > 0).ok_or_else(|| "its port is none".to_owned())
    };
    let is_same = |one: &Value, port: &Value| one["containerPort"] == port["containerPort"];
    let by_name = |name: &str| ports.iter().find(|port| port["name"] == name);
    let help =
        format!("say where it listens with {}: a number, or a port's name", annotation::PORT);
    match said {
        Some(said) => match (said.parse::<u16>(), by_name(said)) {
            (Ok(port), _) if port > 0 => Ok(port),
            (_, Some(port)) => number(port),
            _ => Err(format!("{} {said:?} is no port of it; {help}", annotation::PORT)),
        },
        None => match (ports.as_slice(), by_name("http")) {
            // One port may have several names.
            ([one, rest @ ..], _) if rest.iter().all(|port| is_same(one, port)) => number(one),
            (_, Some(port)) => number(port),
            ([], None) => Err(format!("it names no port; {help}")),
            _ => Err(format!("it names {} ports; {help}", ports.len())),
        },
    }
}

/// The readiness probe, if all of it is a plain GET of the model's own port.
fn probe(container: &Value, port: u16) -> Option<Probe> {
    let probe = container.get("readinessProbe")?;
    let get = probe.get("httpGet")?;
    let plain = get.get("host").is_none()
        && get.get("httpHeaders").is_none()
        && matches!(get["scheme"].as_str(), None | Some("HTTP"));
    let own = match &get["port"] {
        Value::Number(number) => number.as_u64() == Some(u64::from(port)),
        Value::String(name) => {
            let ports = container["ports"].as_array();
            let named = ports.into_iter().flatten().find(|given| given["name"] == name.as_str());
            named.is_some_and(|named| named["containerPort"] == port)
        }
        _ => false,
    };
    let path = get["path"].as_str().unwrap_or("/");
    // In a container's arguments `$(…)` and `$$` mean something.
    let is_plain = |byte: u8| byte.is_ascii_graphic() && byte != b'$';
    let is_path = path.starts_with('/') && path.bytes().all(is_plain);
    let number =
        |name: &str, default: u64| probe[name].as_u64().filter(|n| *n > 0).unwrap_or(default);
    // A readiness gate of several successes is not the sidecar's to count.
    let one = number("successThreshold", 1) == 1;
    (plain && own && one && is_path).then(|| Probe {
        path: path.to_owned(),
        period_seconds: number("periodSeconds", 10),
        timeout_seconds: number("timeoutSeconds", 1),
        failures: number("failureThreshold", 3),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn pod(notes: Value, containers: Value) -> Value {
        json!({"metadata": {"annotations": notes}, "spec": {"containers": containers}})
    }

    #[test]
    fn the_model_is_the_container_that_is_named_alone_or_the_only_one_with_ports() {
        let http = json!({"name": "m", "ports": [{"name": "http", "containerPort": 80}]});
        let two = json!({"name": "n", "ports": [
            {"name": "grpc", "containerPort": 50}, {"name": "http", "containerPort": 81}]});
        let udp = json!({"name": "u", "ports": [{"containerPort": 53, "protocol": "UDP"}]});
        let both = json!({"name": "b", "ports": [
            {"containerPort": 53, "protocol": "UDP"}, {"containerPort": 53, "protocol": "TCP"}]});
        let twice = json!({"name": "t", "ports": [
            {"name": "api", "containerPort": 82}, {"name": "metrics", "containerPort": 82}]});
        let helper = json!({"name": "helper"});
        let note = |name: &str, value: &str| json!({ name: value });
        let named = |name| note(annotation::CONTAINER, name);
        let at = |port| note(annotation::PORT, port);
        for (notes, containers, found) in [
            (json!({}), json!([http]), Ok((0, 80))),
            (json!({}), json!([helper, http]), Ok((1, 80))),
            (json!({}), json!([two]), Ok((0, 81))),
            (json!({}), json!([http, two]), Err("say which is the model")),
            (named("n"), json!([http, two]), Ok((1, 81))),
            (named("x"), json!([http]), Err("no container \"x\"")),
            (at("50"), json!([two]), Ok((0, 50))),
            (at("grpc"), json!([two]), Ok((0, 50))),
            (at(" 8000 "), json!([helper]), Ok((0, 8000))),
            (at("0"), json!([helper]), Err("is no port of it")),
            (at("70000"), json!([helper]), Err("is no port of it")),
            (json!({}), json!([helper]), Err("names no port")),
            (json!({}), json!([udp]), Err("names no port")),
            (json!({}), json!([both]), Ok((0, 53))),
            (json!({}), json!([twice]), Ok((0, 82))),
            (json!({}), json!([]), Err("no containers")),
            (json!({}), Value::Null, Err("no containers")),
            (json!({}), json!([{"name": "m", "ports": [{"containerPort": 0}]}]), Err("is none")),
        ] {
            let pod = pod(notes, containers);
            match (model(&pod), found) {
                (Ok(model), Ok(place)) => assert_eq!((model.index, model.port), place, "{pod}"),
                (Err(why), Err(part)) => assert!(why.contains(part), "{pod}: {why}"),
                (seen, wanted) => panic!("{pod}: {seen:?}, not {wanted:?}"),
            }
        }
    }

    #[test]
    fn only_a_plain_probe_of_the_models_own_port_can_be_moved() {
        let found = |probe: Value| {
            let ports =
                json!([{"name": "http", "containerPort": 80}, {"name": "x", "containerPort": 9}]);
            let container = json!({"name": "m", "ports": ports, "readinessProbe": probe});
            model(&pod(json!({}), json!([container]))).unwrap().probe
        };
        let all = json!({"httpGet": {"path": "/ok", "port": "http"}, "periodSeconds": 2,
            "timeoutSeconds": 3, "failureThreshold": 4});
        let path = || "/ok".to_owned();
        let probe = Probe { path: path(), period_seconds: 2, timeout_seconds: 3, failures: 4 };
        assert_eq!(found(all), Some(probe));
        let usual = Probe { path: "/".into(), period_seconds: 10, timeout_seconds: 1, failures: 3 };
        assert_eq!(found(json!({"httpGet": {"port": 80}})), Some(usual));
        for other in [
            json!({"httpGet": {"port": "x"}}),
            json!({"httpGet": {"port": 9}}),
            json!({"httpGet": {"port": 80, "scheme": "HTTPS"}}),
            json!({"httpGet": {"port": 80, "host": "elsewhere"}}),
            json!({"httpGet": {"port": 80, "httpHeaders": [{"name": "a", "value": "b"}]}}),
            json!({"httpGet": {"port": 80, "path": "/a b"}}),
            json!({"httpGet": {"port": 80, "path": "/$(HOSTNAME)"}}),
            json!({"httpGet": {"port": 80}, "successThreshold": 2}),
            json!({"tcpSocket": {"port": 80}}),
            json!({"grpc": {"port": 80}}),
            json!({"exec": {"command": ["true"]}}),
            Value::Null,
        ] {
            assert_eq!(found(other.clone()), None, "{other}");
        }
    }
}
