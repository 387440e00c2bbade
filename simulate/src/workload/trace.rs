//! Recorded workloads: CSV files of arrivals, and Azure's traces of language models.

use super::{MOST_REQUESTS, Request, Workload, WorkloadError};
use crate::distribution::Distribution;
use crate::seed::{Stream, stream};
use crate::span::{Nanos, nanos, seconds};
use csv::StringRecord;
use rand_distr::{Distribution as _, StandardUniform};
use std::collections::BTreeMap;
use std::fs::File;
use std::path::Path;
use std::time::SystemTime;

/// What a trace may have in a column, and the names of the columns.
const ARRIVAL: &str = "arrival_s";
const SERVICE: &str = "service_s";
const TENANT: &str = "tenant";
const TIMESTAMP: &str = "TIMESTAMP";
const CONTEXT: &str = "ContextTokens";
const GENERATED: &str = "GeneratedTokens";

/// The longest a trace may say that anything lasts, in seconds: ten years.
const LONGEST: f64 = 10.0 * 365.0 * 86_400.0;

/// How a trace is read and bent.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Reading {
    /// How long a request runs where the trace does not say.
    pub(crate) service: Distribution,
    /// Prompt tokens that one running request gets through in a second.
    pub(crate) prefill: f64,
    /// Tokens that one running request makes in a second.
    pub(crate) decode: f64,
    /// How often the trace is played, end to end.
    pub(crate) repeat: u32,
    /// How many times faster requests come. What each costs stays.
    pub(crate) speed: f64,
    /// How many times as many requests come, at the times of those that there are.
    pub(crate) scale_rate: f64,
}

/// One line of a trace.
struct Row {
    /// Seconds, from wherever.
    at: f64,
    service: Nanos,
    tenant: u32,
}

/// Reads a trace.
pub(crate) fn read(path: &Path, how: &Reading, seed: u64) -> Result<Workload, WorkloadError> {
    let file = path.display().to_string();
    let name = path.file_name().map_or_else(|| file.clone(), |name| name.to_string_lossy().into());
    let open = File::open(path);
    let open = open.map_err(|source| WorkloadError::Unreadable { file: file.clone(), source })?;
    let (mut rows, tenants) = rows(open, how, seed).map_err(|(line, what)| match what {
        Bad::TooMany => WorkloadError::TooMany,
        Bad::Line(what) => WorkloadError::BadLine { file: file.clone(), line, what },
    })?;
    if rows.is_empty() {
        return Err(WorkloadError::NoLines { file });
    }
    rows.sort_by(|one, other| one.at.total_cmp(&other.at));
    bend(&rows, how, seed, name, tenants)
}

/// Why a line is none.
enum Bad {
    Line(String),
    TooMany,
}

type Rows = (Vec<Row>, Vec<String>);

fn rows(open: File, how: &Reading, seed: u64) -> Result<Rows, (u64, Bad)> {
    let mut reader = csv::ReaderBuilder::new().trim(csv::Trim::All).from_reader(open);
    let broken = |error: csv::Error| {
        let line = error.position().map_or(1, csv::Position::line);
        (line, Bad::Line(format!("is no line of CSV ({error}); mend or remove it")))
    };
    let head = reader.headers().map_err(broken)?.clone();
    let columns = Columns::find(&head).map_err(|what| (1, Bad::Line(what)))?;
    let mut random = stream(seed, Stream::Service);
    let mut tenants: BTreeMap<String, u32> = BTreeMap::new();
    let mut rows = Vec::new();
    for record in reader.records() {
        let record = record.map_err(broken)?;
        let line = record.position().map_or(0, csv::Position::line);
        if rows.len() == MOST_REQUESTS {
            return Err((line, Bad::TooMany));
        }
        let bad = |what| (line, Bad::Line(what));
        let at = columns.arrival(&record).map_err(bad)?;
        let service = columns.service(&record, how).map_err(bad)?;
        let service = service.map_or_else(|| how.service.sample(&mut random), nanos);
        let next = tenants.len() as u32;
        let tenant = match columns.tenant.and_then(|column| record.get(column)) {
            Some(name) if !tenants.contains_key(name) => {
                tenants.insert(name.to_owned(), next);
                next
            }
            Some(name) => tenants[name],
            None => 0,
        };
        rows.push(Row { at, service, tenant });
    }
    let mut names = vec![String::new(); tenants.len().max(1)];
    tenants.into_iter().for_each(|(name, index)| names[index as usize] = name);
    Ok((rows, names))
}

/// Where in a line what stands.
struct Columns {
    arrival: Arrival,
    service: Service,
    tenant: Option<usize>,
}

enum Arrival {
    Seconds(usize),
    Timestamp(usize),
}

enum Service {
    Drawn,
    Seconds(usize),
    Tokens { context: usize, generated: usize },
}

impl Columns {
    fn find(head: &StringRecord) -> Result<Self, String> {
        let find = |name: &str| head.iter().position(|column| column.eq_ignore_ascii_case(name));
        let tenant = find(TENANT);
        if let Some(arrival) = find(ARRIVAL) {
            let service = find(SERVICE).map_or(Service::Drawn, Service::Seconds);
            return Ok(Self { arrival: Arrival::Seconds(arrival), service, tenant });
        }
        match (find(TIMESTAMP), find(CONTEXT), find(GENERATED)) {
            (Some(at), Some(context), Some(generated)) => Ok(Self {
                arrival: Arrival::Timestamp(at),
                service: Service::Tokens { context, generated },
                tenant,
            }),
            _ => Err(format!(
                "the columns are {:?}; they must be {ARRIVAL}[,{SERVICE}][,{TENANT}] or \
                 {TIMESTAMP},{CONTEXT},{GENERATED}[,{TENANT}]",
                head.iter().collect::<Vec<_>>().join(",")
            )),
        }
    }

    /// In seconds, from wherever the trace counts.
    fn arrival(&self, record: &StringRecord) -> Result<f64, String> {
        match self.arrival {
            Arrival::Seconds(column) => number(record, column, ARRIVAL),
            Arrival::Timestamp(column) => {
                let text = record.get(column).unwrap_or_default();
                let must = "write it as 2023-11-16 18:17:03.97996";
                let at = humantime::parse_rfc3339_weak(text)
                    .map_err(|error| format!("{TIMESTAMP} is {text:?} ({error}); {must}"))?;
                let since = at.duration_since(SystemTime::UNIX_EPOCH);
                since
                    .map(|since| since.as_secs_f64())
                    .map_err(|_| format!("{TIMESTAMP} is {text:?}; it must be after 1970; {must}"))
            }
        }
    }

    /// In seconds, where the trace says so.
    fn service(&self, record: &StringRecord, how: &Reading) -> Result<Option<f64>, String> {
        match self.service {
            Service::Drawn => Ok(None),
            Service::Seconds(column) => number(record, column, SERVICE).map(Some),
            Service::Tokens { context, generated } => {
                let prefill = number(record, context, CONTEXT)? / how.prefill;
                let decode = number(record, generated, GENERATED)? / how.decode;
                Ok(Some(prefill + decode))
            }
        }
    }
}

fn number(record: &StringRecord, column: usize, name: &str) -> Result<f64, String> {
    let text = record.get(column).unwrap_or_default();
    match text.parse::<f64>() {
        Ok(number) if (0.0..=LONGEST).contains(&number) => Ok(number),
        _ => Err(format!("{name} is {text:?}; it must be a number from 0 to {LONGEST:e}")),
    }
}

/// Repeats, speeds up and multiplies.
fn bend(
    rows: &[Row],
    how: &Reading,
    seed: u64,
    name: String,
    tenants: Vec<String>,
) -> Result<Workload, WorkloadError> {
    let (Some(first), Some(last)) = (rows.first(), rows.last()) else {
        return Err(WorkloadError::Empty);
    };
    let many = rows.len() as f64 * f64::from(how.repeat) * how.scale_rate;
    if many > 1.1 * MOST_REQUESTS as f64 {
        return Err(WorkloadError::TooMany);
    }
    let length = last.at - first.at;
    // After the last request passes as much time as between two on average.
    let span = (length + length / rows.len() as f64).max(1e-3);
    let mut random = stream(seed, Stream::Arrivals);
    let mut requests = Vec::with_capacity(many as usize);
    for (round, index) in
        (0..how.repeat).flat_map(|round| (0..rows.len()).map(move |index| (round, index)))
    {
        let row = &rows[index];
        let until = rows.get(index + 1).map_or(first.at + span, |next| next.at);
        let share: f64 = StandardUniform.sample(&mut random);
        let copies = (how.scale_rate + share).floor() as u32;
        for copy in 0..copies {
            // The first where it was, the others anywhere before the next: bursts stay bursts.
            let late: f64 = if copy == 0 { 0.0 } else { StandardUniform.sample(&mut random) };
            let at = f64::from(round) * span + row.at - first.at + late * (until - row.at);
            let at = nanos(at / how.speed);
            requests.push(Request { at, service: row.service, tenant: row.tenant });
        }
    }
    let end = nanos(span * f64::from(how.repeat) / how.speed);
    let workload =
        Workload { name, requests, end, law: None, step: None, rises: Vec::new(), tenants }
            .checked()?;
    debug_assert!(seconds(workload.end) > 0.0, "a request is never after the end");
    Ok(workload)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::span::SECOND;
    use std::io::Write as _;

    const PLAIN: Reading = Reading {
        service: Distribution::Fixed(std::time::Duration::from_millis(100)),
        prefill: 4000.0,
        decode: 50.0,
        repeat: 1,
        speed: 1.0,
        scale_rate: 1.0,
    };

    fn trace(text: &str, how: &Reading) -> Result<Workload, String> {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(text.as_bytes()).unwrap();
        read(file.path(), how, 7).map_err(|error| error.to_string())
    }

    fn times(workload: &Workload) -> Vec<f64> {
        workload.requests.iter().map(|request| seconds(request.at)).collect()
    }

    #[test]
    fn columns_are_found_by_name_and_times_start_at_zero() {
        let text = "tenant,arrival_s,service_s\nb,12.5,2\na,10,1\nb,13,0.5\n";
        let workload = trace(text, &PLAIN).unwrap();
        assert_eq!(times(&workload), [0.0, 2.5, 3.0]);
        assert_eq!(workload.requests[1].service, 2 * SECOND);
        let tenants = workload.requests.iter().map(|request| request.tenant as usize);
        let names: Vec<&str> = tenants.map(|index| workload.tenants[index].as_str()).collect();
        assert_eq!(names, ["a", "b", "b"]);
        assert_eq!(workload.end, 4 * SECOND);
    }

    #[test]
    fn azures_tokens_become_time() {
        let text = "TIMESTAMP,ContextTokens,GeneratedTokens\n\
                    2023-11-16 18:17:03.9799600,4000,100\n2023-11-16 18:17:05.4799600,2000,25\n";
        let workload = trace(text, &PLAIN).unwrap();
        assert_eq!(workload.requests[0], Request { at: 0, service: 3 * SECOND, tenant: 0 });
        assert_eq!(workload.requests[1].service, SECOND);
        assert!((times(&workload)[1] - 1.5).abs() < 1e-6);
    }

    #[test]
    fn repeats_speeds_up_and_multiplies() {
        let text = "arrival_s\n0\n1\n4\n";
        let twice = trace(text, &Reading { repeat: 2, speed: 2.0, ..PLAIN }).unwrap();
        let third = 4.0 / 3.0;
        let want = [0.0, 1.0, 4.0, 4.0 + third, 5.0 + third, 8.0 + third].map(|at| at / 2.0);
        assert!(times(&twice).iter().zip(want).all(|(at, want)| (at - want).abs() < 1e-6));
        let many = trace(text, &Reading { scale_rate: 2.5, repeat: 1000, ..PLAIN }).unwrap();
        assert!((many.requests.len() as f64 / 7500.0 - 1.0).abs() < 0.02);
        let few = trace(text, &Reading { scale_rate: 0.5, repeat: 1000, ..PLAIN }).unwrap();
        assert!((few.requests.len() as f64 / 1500.0 - 1.0).abs() < 0.1);
        assert!(few.requests.is_sorted_by_key(|request| request.at));
    }

    #[test]
    fn a_mistake_is_told_with_its_line() {
        for (text, want) in [
            ("time\n1\n", ":1: the columns are \"time\""),
            ("arrival_s\n1\nNaN\n", ":3: arrival_s is \"NaN\""),
            ("arrival_s,service_s\n1,-2\n", ":2: service_s is \"-2\""),
            ("arrival_s,service_s\n1\n", ":2: is no line of CSV"),
            ("TIMESTAMP,ContextTokens,GeneratedTokens\nnoon,1,1\n", ":2: TIMESTAMP is \"noon\""),
            ("arrival_s,service_s\n", "no request comes after the names of the columns"),
        ] {
            let error = trace(text, &PLAIN).unwrap_err();
            assert!(error.contains(want), "{text:?}: {error}");
        }
        let gone = read(Path::new("/nowhere.csv"), &PLAIN, 1).unwrap_err();
        assert!(gone.to_string().starts_with("can't read /nowhere.csv"), "{gone}");
    }
}
