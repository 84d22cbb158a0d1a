//! The tree of challenges that one document answers (SPEC.md, Section 6.1).
//!
//! The tree is that of RFC 6962, Section 2.1, over SHA-256: leaf and node hashes have different
//! prefixes, so that no node can be passed off as a leaf.

use super::Challenge;
use sha2::{Digest, Sha256};

/// Most challenges that one tree holds.
pub const MAX_LEAVES: usize = 65536;
/// Most hashes in an inclusion path.
pub const MAX_PATH_LEN: usize = 16;
/// Length of a hash in bytes.
pub const HASH_LEN: usize = 32;

type Hash = [u8; HASH_LEN];

/// A tree holds 1 to [`MAX_LEAVES`] challenges.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a tree holds 1 to 65536 challenges")]
pub struct TreeSizeError;

/// A Merkle tree over challenges, as the proxy builds it for one attestation document.
#[derive(Clone, Debug)]
pub struct MerkleTree {
    /// Leaf hashes first, the root alone last. A node without a sibling is its own parent, which
    /// gives the tree that RFC 6962 defines by splitting at the largest power of two.
    levels: Vec<Vec<Hash>>,
}

impl MerkleTree {
    /// Hashes the tree over `challenges`, in this order.
    pub fn new(challenges: &[Challenge]) -> Result<Self, TreeSizeError> {
        if !(1..=MAX_LEAVES).contains(&challenges.len()) {
            return Err(TreeSizeError);
        }
        let mut levels = Vec::with_capacity(MAX_PATH_LEN + 1);
        let mut level: Vec<Hash> = challenges.iter().map(leaf_hash).collect();
        while level.len() > 1 {
            let parents = level
                .chunks(2)
                .map(|pair| match pair {
                    [left, right] => node_hash(left, right),
                    _ => pair[0],
                })
                .collect();
            levels.push(core::mem::replace(&mut level, parents));
        }
        levels.push(level);
        Ok(Self { levels })
    }

    /// The tree hash: the `nonce` of the document.
    pub fn root(&self) -> [u8; HASH_LEN] {
        self.levels[self.levels.len() - 1][0]
    }

    /// Number of challenges, `tree_size` of the evidence.
    pub fn size(&self) -> u32 {
        self.levels[0].len() as u32
    }

    /// The audit path for the challenge at `index`: concatenated hashes from leaf to root.
    ///
    /// `None` when there is no such challenge.
    pub fn path(&self, index: u32) -> Option<Vec<u8>> {
        let mut index = usize::try_from(index).ok()?;
        if index >= self.levels[0].len() {
            return None;
        }
        let mut path = Vec::with_capacity(MAX_PATH_LEN * HASH_LEN);
        for level in &self.levels {
            if let Some(sibling) = level.get(index ^ 1) {
                path.extend_from_slice(sibling);
            }
            index /= 2;
        }
        Some(path)
    }
}

/// Whether `path` proves that `challenge` is leaf `leaf_index` of the tree of `tree_size` leaves
/// with the hash `root` (RFC 9162, Section 2.1.3.2).
pub fn verify_inclusion(
    challenge: &Challenge,
    leaf_index: u32,
    tree_size: u32,
    path: &[u8],
    root: &[u8; HASH_LEN],
) -> bool {
    let (siblings, rest) = path.as_chunks::<HASH_LEN>();
    if leaf_index >= tree_size || !rest.is_empty() {
        return false;
    }
    let (mut index, mut last) = (leaf_index, tree_size - 1);
    let mut hash = leaf_hash(challenge);
    for sibling in siblings {
        if last == 0 {
            return false;
        }
        if index & 1 == 1 || index == last {
            hash = node_hash(sibling, &hash);
            while index & 1 == 0 && index != 0 {
                index >>= 1;
                last >>= 1;
            }
        } else {
            hash = node_hash(&hash, sibling);
        }
        index >>= 1;
        last >>= 1;
    }
    last == 0 && hash == *root
}

fn leaf_hash(challenge: &Challenge) -> Hash {
    Sha256::new().chain_update([0]).chain_update(challenge.as_bytes()).finalize().into()
}

fn node_hash(left: &Hash, right: &Hash) -> Hash {
    Sha256::new().chain_update([1]).chain_update(left).chain_update(right).finalize().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn challenges(count: usize) -> Vec<Challenge> {
        (0..count)
            .map(|index| Challenge::from(Hash::from(Sha256::digest(index.to_be_bytes()))))
            .collect()
    }

    /// The definition of RFC 6962, Section 2.1, taken literally.
    fn tree_hash(challenges: &[Challenge]) -> Hash {
        if let [challenge] = challenges {
            return leaf_hash(challenge);
        }
        let (left, right) = challenges.split_at(challenges.len().next_power_of_two() / 2);
        node_hash(&tree_hash(left), &tree_hash(right))
    }

    #[test]
    fn the_root_is_the_tree_hash_of_rfc6962_and_every_path_proves_its_leaf_only() {
        for size in 1..=33 {
            let challenges = challenges(size);
            let tree = MerkleTree::new(&challenges).unwrap();
            let root = tree.root();
            assert_eq!(root, tree_hash(&challenges), "{size}");
            assert_eq!(tree.size() as usize, size);
            for index in 0..size as u32 {
                let path = tree.path(index).unwrap();
                for (other, challenge) in challenges.iter().enumerate() {
                    let proven = verify_inclusion(challenge, index, size as u32, &path, &root);
                    assert_eq!(proven, other == index as usize, "{other} at {index} of {size}");
                }
            }
            assert_eq!(tree.path(size as u32), None);
        }
    }

    #[test]
    fn row_03_a_path_proves_nothing_when_anything_is_changed() {
        let challenges = challenges(6);
        let tree = MerkleTree::new(&challenges).unwrap();
        let (root, path) = (tree.root(), tree.path(2).unwrap());
        let proves = |index, size, path: &[u8], root: &Hash| {
            verify_inclusion(&challenges[2], index, size, path, root)
        };
        assert!(proves(2, 6, &path, &root));
        for index in (0..9).filter(|index| *index != 2) {
            assert!(!proves(index, 6, &path, &root), "index {index}");
        }
        // The path of leaf 2 has the same shape in trees of 5 to 8 leaves: the proof is about the
        // leaf being in the tree, the size only says how to read it.
        for size in [0, 1, 2, 3, 4, 9, 16, 17, u32::MAX] {
            assert!(!proves(2, size, &path, &root), "size {size}");
        }
        for len in 0..path.len() {
            assert!(!proves(2, 6, &path[..len], &root), "path of {len} bytes");
        }
        assert!(!proves(2, 6, &[&path[..], &[0; 32]].concat(), &root));
        for position in 0..path.len() {
            let mut path = path.clone();
            path[position] ^= 1;
            assert!(!proves(2, 6, &path, &root), "path byte {position}");
        }
        assert!(!proves(2, 6, &path, &[0; 32]));
    }

    #[test]
    fn a_tree_has_bounds() {
        assert_eq!(MerkleTree::new(&[]).err(), Some(TreeSizeError));
        let most = challenges(MAX_LEAVES);
        let tree = MerkleTree::new(&most).unwrap();
        let path = tree.path(65535).unwrap();
        assert_eq!(path.len(), MAX_PATH_LEN * HASH_LEN);
        assert!(verify_inclusion(&most[65535], 65535, 65536, &path, &tree.root()));
        assert_eq!(MerkleTree::new(&challenges(MAX_LEAVES + 1)).err(), Some(TreeSizeError));
    }
}
