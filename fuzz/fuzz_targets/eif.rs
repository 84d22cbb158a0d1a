//! Images of enclaves: arbitrary bytes, and images whose CRC and table fit, so that what is behind
//! them is reached. What is measured has the registers that SHA-384 gives, computed a second time.
#![no_main]

use arbitrary::Arbitrary;
use libfuzzer_sys::fuzz_target;
use sha2::{Digest, Sha384};
use steve_fuzz::measure::measure;

#[derive(Arbitrary, Debug)]
enum Input<'a> {
    Bytes(&'a [u8]),
    Image(Image<'a>),
}

#[derive(Arbitrary, Debug)]
struct Image<'a> {
    version: u16,
    sections: Vec<(u8, &'a [u8])>,
    /// A byte of the file that changes after the CRC was computed, or before.
    change: Option<(u16, u8, bool)>,
    cut: u8,
}

impl Image<'_> {
    fn kind(&self, at: usize) -> u16 {
        match (at, u16::from(self.sections[at].0)) {
            // Mostly in the order in which they belong.
            (0, 6..) => 1,
            (1, 6..) => 2,
            (_, 6..200) => 3,
            (_, 200..230) => 4,
            (_, 230..) => 5,
            (_, kind) => kind,
        }
    }

    fn build(&self) -> Vec<u8> {
        let count = self.sections.len().min(32);
        let (mut offsets, mut sizes, mut body) = ([0; 32], [0; 32], Vec::new());
        for (at, (_, content)) in self.sections.iter().take(32).enumerate() {
            offsets[at] = 548 + body.len() as u64;
            sizes[at] = content.len() as u64;
            body.extend(self.kind(at).to_be_bytes());
            body.extend([0, 0]);
            body.extend((content.len() as u64).to_be_bytes());
            body.extend(*content);
        }
        let mut image = b".eif".to_vec();
        image.extend((self.version % 6).to_be_bytes());
        image.extend([0; 20]);
        image.extend((self.sections.len() as u16).to_be_bytes());
        debug_assert_eq!((image.len(), count), (28, count));
        image.extend(offsets.iter().chain(&sizes).flat_map(|number: &u64| number.to_be_bytes()));
        image.resize(548, 0);
        image.extend(body);
        if let Some((at, xor, true)) = self.change {
            let at = usize::from(at) % image.len();
            image[at] ^= xor;
        }
        let crc = crc32fast::hash(&[&image[..544], &image[548..]].concat());
        image[544..548].copy_from_slice(&crc.to_be_bytes());
        if let Some((at, xor, false)) = self.change {
            let at = usize::from(at) % image.len();
            image[at] ^= xor;
        }
        image.truncate(image.len() - usize::from(self.cut).min(image.len()));
        image
    }
}

/// SHA-384 over zeros and the SHA-384 of the contents.
fn register<'a>(contents: impl Iterator<Item = &'a [u8]>) -> [u8; 48] {
    let content = contents.fold(Sha384::new(), |hash, content| hash.chain_update(content));
    Sha384::new().chain_update([0; 48]).chain_update(content.finalize()).finalize().into()
}

fuzz_target!(|input: Input<'_>| {
    let image = match input {
        Input::Bytes(bytes) => {
            let _ = measure(bytes);
            return;
        }
        Input::Image(image) => image,
    };
    let Ok(pcrs) = measure(&image.build()) else { return };
    let changed = image.change.is_some_and(|(_, xor, _)| xor != 0);
    assert_eq!(image.cut, 0, "nothing is missing");
    assert!(matches!(image.change, None | Some((_, 0, _) | (_, _, true))), "the CRC fits");
    assert!((2..=4).contains(&(image.version % 6)) || changed);
    if changed {
        return;
    }
    let kinds: Vec<_> = (0..image.sections.len()).map(|at| image.kind(at)).collect();
    assert!((3..=32).contains(&kinds.len()) && kinds.starts_with(&[1, 2]));
    let contents =
        || kinds.iter().zip(&image.sections).map(|(kind, (_, content))| (*kind, *content));
    let ramdisks = || contents().filter(|(kind, _)| *kind == 3).map(|(_, content)| content);
    let boot = || contents().take(2).map(|(_, content)| content);
    let expected = [
        register(boot().chain(ramdisks())),
        register(boot().chain(ramdisks().take(1))),
        register(ramdisks().skip(1)),
    ];
    for ((index, expected), (register, pcr)) in expected.iter().enumerate().zip(&pcrs) {
        assert_eq!((index, expected), (usize::from(*register), pcr.as_bytes()));
    }
    let signed = kinds.contains(&4);
    assert_eq!(
        pcrs.iter().map(|(register, _)| *register).skip(3).collect::<Vec<_>>(),
        if signed { vec![8] } else { vec![] }
    );
});
