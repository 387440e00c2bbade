//! How long requests wait for one of several servers, and how many servers that takes.
//!
//! Erlang's C formula gives the share that waits at all with Poisson arrivals. Two corrections make
//! it fit what is measured: Hayward's, for arrivals that are burstier than Poisson (divide servers
//! and load by the peakedness; A. Fredericks, Bell System Technical Journal 59, 1980), and that of
//! Allen and Cunneen for the variance of arrivals and service (a wait is longer by the mean of their
//! squared coefficients of variation; see W. Whitt, Production and Operations Management 2, 1993).

/// Up to here the recursion is used; above, the square-root law of Halfin and Whitt (Operations
/// Research 29, 1981), which is off by less than 1 % there and takes no longer for more servers.
const MOST_EXACT: f64 = 400.0;

/// The most servers that are ever asked for: a bound for the search, beyond any fleet.
const MOST_SERVERS: f64 = 1e9;

/// What comes to a group of servers.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Offered {
    /// Servers busy on average, if there were enough: arrivals a second times service time.
    pub load: f64,
    /// Mean service time in seconds, above 0.
    pub service: f64,
    /// Squared coefficient of variation of the service time.
    pub service_variation: f64,
    /// Variance over mean of the number of arrivals: 1 for Poisson, at least 1.
    pub peakedness: f64,
}

impl Offered {
    /// The share of requests that waits longer than `wait` seconds for one of `servers`.
    pub fn late(&self, servers: f64, wait: f64) -> f64 {
        if self.load <= 0.0 {
            return 0.0;
        }
        if servers <= self.load {
            return 1.0;
        }
        let waits = waiting(servers / self.peakedness, self.load / self.peakedness);
        let spread = (self.peakedness + self.service_variation) / 2.0;
        let rate = (servers - self.load) / (self.service * spread.max(f64::MIN_POSITIVE));
        waits * (-rate * wait).exp()
    }

    /// The fewest servers with which at most the share `late` waits longer than `wait` seconds.
    pub fn servers(&self, wait: f64, late: f64) -> f64 {
        if self.load <= 0.0 {
            return 0.0;
        }
        let enough = |servers: f64| self.late(servers, wait) <= late;
        let mut low = self.load.floor();
        let mut step = 1.0;
        while !enough(low + step) && low + step < MOST_SERVERS {
            low += step;
            step *= 2.0;
        }
        let mut high = low + step;
        while high - low > 1.0 {
            let middle = ((low + high) / 2.0).floor();
            if enough(middle) { high = middle } else { low = middle }
        }
        high
    }
}

/// The share of Poisson arrivals that waits: Erlang's C, between whole servers by interpolation.
fn waiting(servers: f64, load: f64) -> f64 {
    if servers > MOST_EXACT {
        let slack = (servers - load) / load.sqrt();
        return 1.0 / (1.0 + slack * normal_share(slack) / normal_density(slack));
    }
    let below = servers.floor();
    let share = servers - below;
    let (one, more) = (erlang_c(below, load), erlang_c(below + 1.0, load));
    one + share * (more - one)
}

fn erlang_c(servers: f64, load: f64) -> f64 {
    if servers <= load {
        return 1.0;
    }
    let mut blocked = 1.0;
    let mut count = 1.0;
    while count <= servers {
        blocked = load * blocked / (count + load * blocked);
        count += 1.0;
    }
    servers * blocked / (servers - load * (1.0 - blocked))
}

fn normal_density(x: f64) -> f64 {
    (-x * x / 2.0).exp() / (2.0 * std::f64::consts::PI).sqrt()
}

/// The normal distribution below `x` ≥ 0, to 7.5e-8 (Abramowitz and Stegun, 26.2.17).
fn normal_share(x: f64) -> f64 {
    const B: [f64; 5] =
        [0.319_381_530, -0.356_563_782, 1.781_477_937, -1.821_255_978, 1.330_274_429];
    let t = 1.0 / (1.0 + 0.231_641_9 * x);
    let sum = B.iter().rev().fold(0.0, |sum, b| (sum + b) * t);
    1.0 - normal_density(x) * sum
}

#[cfg(test)]
mod tests {
    use super::*;

    fn poisson(load: f64) -> Offered {
        Offered { load, service: 1.0, service_variation: 1.0, peakedness: 1.0 }
    }

    #[test]
    fn erlangs_c_has_its_known_values() {
        // One server: the load itself. Two: a²/(2-a) · 1/(1 + a + a²/(2-a)).
        assert!((erlang_c(1.0, 0.7) - 0.7).abs() < 1e-12);
        assert!((erlang_c(2.0, 1.0) - 1.0 / 3.0).abs() < 1e-12);
        assert!((erlang_c(10.0, 8.0) - 0.409_180).abs() < 1e-5, "{}", erlang_c(10.0, 8.0));
    }

    #[test]
    fn the_square_root_law_takes_over_without_a_step() {
        for slack in [0.2, 1.0, 2.0] {
            let load: f64 = 380.0;
            let servers = (load + slack * load.sqrt()).floor();
            let exact = erlang_c(servers, load);
            let slack = (servers - load) / load.sqrt();
            let law = 1.0 / (1.0 + slack * normal_share(slack) / normal_density(slack));
            assert!((exact - law).abs() < 0.01, "{exact} {law}");
        }
    }

    #[test]
    fn one_server_waits_as_the_mm1_formula_says() {
        let late = poisson(0.5).late(1.0, 2.0);
        assert!((late - 0.5 * (-1.0_f64).exp()).abs() < 1e-12, "{late}");
    }

    #[test]
    fn the_fewest_servers_meet_the_objective_and_one_fewer_does_not() {
        for load in [0.01, 0.5, 3.0, 27.0, 399.0, 5000.0] {
            let offered = poisson(load);
            let servers = offered.servers(0.2, 0.01);
            assert!(offered.late(servers, 0.2) <= 0.01, "{load}: {servers}");
            assert!(offered.late(servers - 1.0, 0.2) > 0.01, "{load}: {servers}");
        }
        let bursty = Offered { peakedness: 4.0, ..poisson(27.0) };
        assert!(bursty.servers(0.2, 0.01) > poisson(27.0).servers(0.2, 0.01));
    }

    #[test]
    fn no_load_needs_none_and_an_absurd_one_ends() {
        assert_eq!(poisson(0.0).servers(0.2, 0.01), 0.0);
        assert!(poisson(1e300).servers(0.2, 0.01).is_finite());
    }
}
