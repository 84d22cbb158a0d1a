//! Random numbers: seeded at start from the operating system and from the NSM, so that neither
//! alone has to be good (row 16).

use crate::error::StartError;
use rand::rngs::{StdRng, SysRng};
use rand::{Rng, SeedableRng, TryRng};
use sha2::{Digest, Sha256};
use std::sync::{Mutex, PoisonError};
use zeroize::Zeroizing;

/// The root of all random numbers of the process.
pub(crate) struct Entropy(Mutex<StdRng>);

impl Entropy {
    /// Seeds from the operating system and, if there is one, the device. Fails rather than start
    /// with less.
    pub(crate) fn new(device: Option<Vec<u8>>) -> Result<Self, StartError> {
        let mut system = Zeroizing::new([0; 32]);
        SysRng
            .try_fill_bytes(system.as_mut())
            .map_err(|error| StartError::Entropy(error.to_string()))?;
        let device = Zeroizing::new(device.unwrap_or_default());
        Ok(Self(Mutex::new(StdRng::from_seed(*seed(&system, &device)))))
    }

    /// A generator of its own for one operation. Fresh numbers of the operating system are mixed in.
    pub(crate) fn fork(&self) -> StdRng {
        let mut seed = Zeroizing::new([0; 32]);
        let mut system = Zeroizing::new([0; 32]);
        self.0.lock().unwrap_or_else(PoisonError::into_inner).fill_bytes(seed.as_mut());
        if SysRng.try_fill_bytes(system.as_mut()).is_ok() {
            seed.iter_mut().zip(system.iter()).for_each(|(a, b)| *a ^= b);
        }
        StdRng::from_seed(*seed)
    }
}

/// As good as the better one of the two.
fn seed(system: &[u8; 32], device: &[u8]) -> Zeroizing<[u8; 32]> {
    let hash = Sha256::new()
        .chain_update(b"steve-proxy seed")
        .chain_update(system)
        .chain_update(device)
        .finalize();
    Zeroizing::new(hash.into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn row_16_one_good_source_is_enough() {
        let seeds = [
            seed(&[0; 32], &[]),
            seed(&[0; 32], &[0; 32]),
            seed(&[0; 32], &[1; 32]),
            seed(&[1; 32], &[0; 32]),
            seed(&[1; 32], &[1; 32]),
        ];
        assert_eq!(seeds.iter().map(|seed| **seed).collect::<HashSet<_>>().len(), seeds.len());
    }

    /// An operating system that always gives the same at start does not make keys repeat.
    #[test]
    fn row_16_forks_of_equal_seeds_differ() {
        let number = |entropy: &Entropy| {
            let mut number = [0; 32];
            entropy.fork().fill_bytes(&mut number);
            number
        };
        let equal = || Entropy(Mutex::new(StdRng::from_seed(*seed(&[0; 32], &[0; 32]))));
        let (a, b) = (equal(), equal());
        let numbers = [number(&a), number(&a), number(&b), number(&b)];
        assert_eq!(HashSet::from(numbers).len(), numbers.len());
    }
}
