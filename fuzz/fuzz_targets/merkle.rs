//! Trees of challenges against RFC 6962 as it is written, by recursion; and paths: of all paths, the
//! right one alone is accepted, for the right place alone.
#![no_main]

use arbitrary::Arbitrary;
use libfuzzer_sys::fuzz_target;
use sha2::{Digest, Sha256};
use steve_protocol::evidence::merkle::{HASH_LEN, MAX_PATH_LEN, verify_inclusion};
use steve_protocol::evidence::{Challenge, MerkleTree};

type Hash = [u8; HASH_LEN];

#[derive(Arbitrary, Debug)]
struct Input {
    size: u8,
    index: u8,
    /// What the host says instead.
    claimed_index: Option<u32>,
    claimed_size: Option<u32>,
    path: Path,
    /// Another challenge than the leaf's.
    other: bool,
}

#[derive(Arbitrary, Debug)]
enum Path {
    Right,
    Flipped(u16),
    /// Without so many bytes.
    Cut(u8),
    /// With a hash of the tree more.
    More(u8),
    Any(Vec<u8>),
}

fn challenge(index: usize) -> Challenge {
    Challenge::from([index as u8; 32])
}

/// MTH of RFC 6962, Section 2.1.
fn tree_hash(from: usize, to: usize) -> Hash {
    if to - from == 1 {
        let leaf = Sha256::new().chain_update([0]).chain_update(challenge(from).as_bytes());
        return leaf.finalize().into();
    }
    let split = from + (to - from).next_power_of_two() / 2;
    let node = Sha256::new().chain_update([1]).chain_update(tree_hash(from, split));
    node.chain_update(tree_hash(split, to)).finalize().into()
}

/// PATH of RFC 6962, Section 2.1.1.
fn path(index: usize, from: usize, to: usize) -> Vec<Hash> {
    if to - from == 1 {
        return Vec::new();
    }
    let split = from + (to - from).next_power_of_two() / 2;
    let (mut path, sibling) = if index < split {
        (path(index, from, split), tree_hash(split, to))
    } else {
        (path(index, split, to), tree_hash(from, split))
    };
    path.push(sibling);
    path
}

fuzz_target!(|input: Input| {
    let size = usize::from(input.size % 40) + 1;
    let index = usize::from(input.index) % size;
    let challenges: Vec<_> = (0..size).map(challenge).collect();
    let tree = MerkleTree::new(&challenges).expect("1 to 40 leaves");
    assert_eq!((tree.root(), tree.size() as usize), (tree_hash(0, size), size));
    let right = path(index, 0, size).concat();
    assert_eq!(tree.path(index as u32).as_deref(), Some(&right[..]));
    assert_eq!(tree.path(size as u32), None);
    assert!(right.len() <= MAX_PATH_LEN * HASH_LEN);

    let mut claimed = right.clone();
    match input.path {
        Path::Right => {}
        Path::Flipped(bit) if !claimed.is_empty() => {
            let bit = usize::from(bit) % (claimed.len() * 8);
            claimed[bit / 8] ^= 1 << (bit % 8);
        }
        Path::Flipped(_) => {}
        Path::Cut(bytes) => claimed.truncate(claimed.len().saturating_sub(bytes.into())),
        Path::More(which) => {
            let from = usize::from(which) % size;
            claimed.extend_from_slice(&tree_hash(from, size));
        }
        Path::Any(bytes) => claimed = bytes,
    }
    let claimed_index = input.claimed_index.unwrap_or(index as u32);
    let claimed_size = input.claimed_size.unwrap_or(size as u32);
    let challenge = if input.other { Challenge::from([0xff; 32]) } else { challenge(index) };
    let accepted =
        verify_inclusion(&challenge, claimed_index, claimed_size, &claimed, &tree.root());
    let right = claimed == right && !input.other;
    if accepted {
        assert!(right, "the path proves nothing else");
    }
    if right && claimed_index as usize == index && claimed_size as usize == size {
        assert!(accepted);
    }
});
