//! What was measured: by case, contender and figure, one value a round.

use std::collections::BTreeMap;

/// A figure of a case.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Metric {
    /// Microseconds of the product's CPU for each request, message, event or session.
    CpuEach,
    /// Nanoseconds of the product's CPU for each byte of a body.
    CpuByte,
    /// Requests, messages, events or sessions a second.
    Rate,
    /// Bytes of bodies a second.
    Bytes,
    /// Microseconds.
    P50,
    P99,
    P999,
    /// Resident bytes for each session or stream.
    MemoryEach,
    /// Resident bytes at the end, and at most.
    Resident,
    PeakResident,
    /// System calls of the product for each request.
    Calls,
}

impl Metric {
    /// What it is called and its unit, and what a value is multiplied with to be in this unit.
    pub(crate) fn unit(self) -> (&'static str, f64) {
        match self {
            Self::CpuEach => ("CPU µs each", 1.0),
            Self::CpuByte => ("CPU ns/byte", 1.0),
            Self::Rate => ("per second", 1.0),
            Self::Bytes => ("MiB/s", 1.0 / f64::from(1 << 20)),
            Self::P50 => ("p50 µs", 1.0),
            Self::P99 => ("p99 µs", 1.0),
            Self::P999 => ("p99.9 µs", 1.0),
            Self::MemoryEach => ("bytes each", 1.0),
            Self::Resident => ("RSS MiB", 1.0 / f64::from(1 << 20)),
            Self::PeakResident => ("peak RSS MiB", 1.0 / f64::from(1 << 20)),
            Self::Calls => ("system calls each", 1.0),
        }
    }
}

/// All figures, by case and contender.
#[derive(Default)]
pub(crate) struct Figures {
    values: BTreeMap<(&'static str, Metric), BTreeMap<&'static str, Vec<f64>>>,
}

impl Figures {
    pub(crate) fn add(
        &mut self,
        case: &'static str,
        contender: &'static str,
        metric: Metric,
        value: f64,
    ) {
        let by_contender = self.values.entry((case, metric)).or_default();
        by_contender.entry(contender).or_default().push(value);
    }

    fn get(&self, case: &'static str, contender: &str, metric: Metric) -> Option<&[f64]> {
        self.values.get(&(case, metric))?.get(contender).map(Vec::as_slice)
    }

    /// The median over the rounds.
    pub(crate) fn median(
        &self,
        case: &'static str,
        contender: &str,
        metric: Metric,
    ) -> Option<f64> {
        self.get(case, contender, metric).and_then(|values| median(values.iter().copied()))
    }

    /// The median of the ratios of two contenders within a round.
    pub(crate) fn ratio(
        &self,
        case: &'static str,
        (one, other): (&str, &str),
        metric: Metric,
    ) -> Option<f64> {
        let (one, other) = (self.get(case, one, metric)?, self.get(case, other, metric)?);
        median(one.iter().zip(other).map(|(one, other)| one / other))
    }

    /// The metrics that a case has.
    pub(crate) fn metrics(&self, case: &'static str) -> Vec<Metric> {
        self.values.keys().filter(|(of, _)| *of == case).map(|(_, metric)| *metric).collect()
    }
}

/// None of no values. Those of a round in which nothing came to pass do not count.
pub(crate) fn median(values: impl Iterator<Item = f64>) -> Option<f64> {
    let mut sorted: Vec<f64> = values.filter(|value| value.is_finite()).collect();
    sorted.sort_by(f64::total_cmp);
    let middle = sorted.len() / 2;
    match sorted.len() {
        0 => None,
        length if length % 2 == 1 => Some(sorted[middle]),
        _ => Some((sorted[middle - 1] + sorted[middle]) / 2.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ratios_are_of_the_same_round() {
        let mut figures = Figures::default();
        for (one, other) in [(1.0, 2.0), (100.0, 100.0), (3.0, 1.0)] {
            figures.add("case", "one", Metric::Rate, one);
            figures.add("case", "other", Metric::Rate, other);
        }
        assert_eq!(figures.ratio("case", ("one", "other"), Metric::Rate), Some(1.0));
        assert_eq!(figures.median("case", "one", Metric::Rate), Some(3.0));
        assert_eq!(figures.median("case", "nobody", Metric::Rate), None);
        assert_eq!(figures.metrics("case"), [Metric::Rate]);
    }
}
