//! Random lengths of time, as they are written on a command line.

use crate::span::{Nanos, nanos};
use rand_distr::{Distribution as _, Exp1, LogNormal};
use rand_pcg::Pcg64;
use std::fmt;
use std::str::FromStr;
use std::time::Duration;

/// The longest mean: a week. What is longer is a slip of the pen.
const LONGEST: Duration = Duration::from_secs(7 * 86_400);
/// The largest coefficient of variation; real service times stay far below.
const MOST_VARIED: f64 = 100.0;

/// How long something takes: `200ms`, `exponential:200ms`, `lognormal:200ms:1.5` with its
/// coefficient of variation, or `uniform:1s:3s`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Distribution {
    /// Always the same.
    Fixed(Duration),
    /// Without memory; given by its mean.
    Exponential(Duration),
    /// Given by its mean and its standard deviation divided by that.
    LogNormal(Duration, f64),
    /// Any length between two, all alike.
    Uniform(Duration, Duration),
}

impl Distribution {
    /// A draw.
    pub(crate) fn sample(&self, random: &mut Pcg64) -> Nanos {
        let seconds = match *self {
            Self::Fixed(length) => return crate::span::of(length),
            Self::Exponential(mean) => {
                let one: f64 = Exp1.sample(random);
                one * mean.as_secs_f64()
            }
            Self::LogNormal(mean, cv) => match LogNormal::from_mean_cv(mean.as_secs_f64(), cv) {
                Ok(law) => law.sample(random),
                // `from_str` has let in only a positive mean and a finite variation.
                Err(_) => mean.as_secs_f64(),
            },
            Self::Uniform(least, most) => {
                let share: f64 = rand_distr::StandardUniform.sample(random);
                least.as_secs_f64() + share * (most - least).as_secs_f64()
            }
        };
        nanos(seconds)
    }

    /// The mean, in seconds.
    pub(crate) fn mean(&self) -> f64 {
        match *self {
            Self::Fixed(mean) | Self::Exponential(mean) | Self::LogNormal(mean, _) => {
                mean.as_secs_f64()
            }
            Self::Uniform(least, most) => (least + most).as_secs_f64() / 2.0,
        }
    }

    /// The square of the standard deviation divided by the mean.
    pub(crate) fn squared_variation(&self) -> f64 {
        match *self {
            Self::Fixed(_) => 0.0,
            Self::Exponential(_) => 1.0,
            Self::LogNormal(_, cv) => cv * cv,
            Self::Uniform(least, most) => {
                let width = (most - least).as_secs_f64();
                // A mean of zero is refused.
                width * width / 12.0 / (self.mean() * self.mean()).max(f64::MIN_POSITIVE)
            }
        }
    }

    /// What no draw is below, in nanoseconds.
    pub(crate) fn least(&self) -> Nanos {
        match *self {
            Self::Fixed(least) | Self::Uniform(least, _) => crate::span::of(least),
            Self::Exponential(_) | Self::LogNormal(..) => 0,
        }
    }
}

impl FromStr for Distribution {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let parts: Vec<&str> = text.split(':').collect();
        let law = match parts[..] {
            [length] | ["fixed", length] => Self::Fixed(duration(length)?),
            ["exponential", mean] => Self::Exponential(duration(mean)?),
            ["lognormal", mean, cv] => Self::LogNormal(duration(mean)?, variation(cv)?),
            ["uniform", least, most] => Self::Uniform(duration(least)?, duration(most)?),
            _ => {
                return Err(format!(
                    "{text:?} is no distribution; write 200ms, exponential:200ms, \
                     lognormal:200ms:1.5 or uniform:1s:3s"
                ));
            }
        };
        match law {
            Self::Uniform(least, most) if least > most => {
                Err(format!("{text:?} ends before it begins; write the shorter length first"))
            }
            Self::Exponential(mean) | Self::LogNormal(mean, _) if mean.is_zero() => {
                Err(format!("{text:?} has a mean of zero; give a longer one, or 0s for none"))
            }
            law => Ok(law),
        }
    }
}

fn duration(text: &str) -> Result<Duration, String> {
    let length = humantime::parse_duration(text)
        .map_err(|error| format!("{text:?} is no length of time ({error}); write 200ms or 5s"))?;
    if length > LONGEST {
        return Err(format!("{text:?} is longer than a week; give a shorter time"));
    }
    Ok(length)
}

fn variation(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(cv) if cv > 0.0 && cv <= MOST_VARIED => Ok(cv),
        _ => Err(format!("{text:?} is no variation; give a number above 0, at most {MOST_VARIED}")),
    }
}

impl fmt::Display for Distribution {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let time = humantime::format_duration;
        match *self {
            Self::Fixed(length) => write!(f, "{}", time(length)),
            Self::Exponential(mean) => write!(f, "exponential:{}", time(mean)),
            Self::LogNormal(mean, cv) => write!(f, "lognormal:{}:{cv}", time(mean)),
            Self::Uniform(least, most) => write!(f, "uniform:{}:{}", time(least), time(most)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::span::seconds;

    #[test]
    fn draws_have_the_mean_and_the_variation_they_are_given_by() {
        for (text, mean, cv) in [
            ("200ms", 0.2, 0.0),
            ("exponential:200ms", 0.2, 1.0),
            ("lognormal:2s:0.5", 2.0, 0.5),
            ("uniform:1s:3s", 2.0, 1.0 / 12_f64.sqrt()),
        ] {
            let law: Distribution = text.parse().unwrap();
            let mut random = crate::seed::stream(1, crate::seed::Stream::Service);
            let draws: Vec<f64> = (0..100_000).map(|_| seconds(law.sample(&mut random))).collect();
            let seen = draws.iter().sum::<f64>() / 1e5;
            let variance = draws.iter().map(|draw| (draw - seen).powi(2)).sum::<f64>() / 1e5;
            assert!((seen / mean - 1.0).abs() < 0.01, "{text}: {seen}");
            assert!((variance.sqrt() / seen - cv).abs() < 0.02, "{text}: {variance}");
            assert!((law.mean() - mean).abs() < 1e-9);
            assert!((law.squared_variation() - cv * cv).abs() < 1e-9);
            assert!(draws.iter().all(|draw| *draw >= seconds(law.least())));
            assert_eq!(law.to_string().parse(), Ok(law));
        }
    }

    #[test]
    fn what_is_no_distribution_is_said_to_be_none() {
        for text in [
            "",
            "5",
            "-1s",
            "normal:1s",
            "exponential:0s",
            "lognormal:1s:0",
            "lognormal:1s:NaN",
            "lognormal:1s",
            "uniform:3s:1s",
            "99999999h",
            "exponential:1s:1",
        ] {
            assert!(text.parse::<Distribution>().is_err(), "{text}");
        }
    }
}
