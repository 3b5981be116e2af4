//! The tree against the vectors of certificate-transparency's reference, and against RFC 9162's definitions written
//! down as they stand there.

use super::*;
use proptest::prelude::*;
use std::convert::Infallible;

/// The leaves of certificate-transparency's test tree.
const INPUTS: [&str; 8] =
    ["", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f"];
/// Its roots, of the first 1 to 8 leaves.
const ROOTS: [&str; 8] = [
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
];
/// Inclusion proofs: leaf, size, path.
const PATHS: [(u64, u64, &[&str]); 5] = [
    (0, 1, &[]),
    (
        0,
        8,
        &[
            "96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7",
            "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
            "6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4",
        ],
    ),
    (
        5,
        8,
        &[
            "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
            "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
            "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
        ],
    ),
    (2, 3, &["fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125"]),
    (
        1,
        5,
        &[
            "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
            "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
            "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
        ],
    ),
];
/// Consistency proofs: old size, new size, path.
const PROOFS: [(u64, u64, &[&str]); 4] = [
    (1, 1, &[]),
    (
        1,
        8,
        &[
            "96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7",
            "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
            "6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4",
        ],
    ),
    (
        6,
        8,
        &[
            "0ebc5d3437fbe2db158b9f126a1d118e308181031d0a949f8dededebc558ef6a",
            "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
            "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
        ],
    ),
    (
        2,
        5,
        &[
            "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
            "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
        ],
    ),
];

fn hash(text: &str) -> Hash {
    hex::decode(text).unwrap().try_into().unwrap()
}

fn hashes(texts: &[&str]) -> Vec<Hash> {
    texts.iter().map(|text| hash(text)).collect()
}

/// The reference's leaf hashes: SHA-256(0x00 || input).
fn reference() -> Vec<Hash> {
    let leaf = |input: &&str| {
        Sha256::new().chain_update([0]).chain_update(hex::decode(input).unwrap()).finalize().into()
    };
    INPUTS.iter().map(leaf).collect()
}

/// RFC 9162 §2.1.1, as it stands.
fn mth(leaves: &[Hash]) -> Hash {
    match leaves {
        [] => Sha256::digest([]).into(),
        [one] => *one,
        _ => {
            let k = leaves.len().next_power_of_two() / 2;
            node(&mth(&leaves[..k]), &mth(&leaves[k..]))
        }
    }
}

/// RFC 9162 §2.1.3.1, as it stands.
fn path(m: usize, leaves: &[Hash]) -> Vec<Hash> {
    if leaves.len() == 1 {
        return Vec::new();
    }
    let k = leaves.len().next_power_of_two() / 2;
    if m < k {
        [path(m, &leaves[..k]), vec![mth(&leaves[k..])]].concat()
    } else {
        [path(m - k, &leaves[k..]), vec![mth(&leaves[..k])]].concat()
    }
}

/// RFC 9162 §2.1.4.1, as it stands.
fn subproof(m: usize, leaves: &[Hash], whole: bool) -> Vec<Hash> {
    if m == leaves.len() {
        return if whole { Vec::new() } else { vec![mth(leaves)] };
    }
    let k = leaves.len().next_power_of_two() / 2;
    if m <= k {
        [subproof(m, &leaves[..k], whole), vec![mth(&leaves[k..])]].concat()
    } else {
        [subproof(m - k, &leaves[k..], false), vec![mth(&leaves[..k])]].concat()
    }
}

/// Complete subtrees of leaves in memory; others are a mistake.
struct Plain<'a>(&'a [Hash]);

impl Subtrees for Plain<'_> {
    type Error = Infallible;

    fn subtree(&mut self, first: u64, leaves: u64) -> Result<Hash, Infallible> {
        assert!(leaves.is_power_of_two() && first.is_multiple_of(leaves), "{first}, {leaves}");
        Ok(mth(&self.0[first as usize..(first + leaves) as usize]))
    }
}

#[test]
fn the_reference_tree() {
    let leaves = reference();
    let mut frontier = Frontier::default();
    assert_eq!(
        hex::encode(frontier.root()),
        "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    );
    for (size, expected) in (1..).zip(ROOTS) {
        frontier.push(leaves[size - 1]);
        assert_eq!(hex::encode(frontier.root()), expected);
        assert_eq!(root(&mut Plain(&leaves), size as u64), Ok(hash(expected)));
    }
    for (leaf, size, expected) in PATHS {
        let made = inclusion(&mut Plain(&leaves), leaf, size).unwrap();
        assert_eq!(made, hashes(expected), "{leaf} in {size}");
        let root = hash(ROOTS[size as usize - 1]);
        assert!(includes(leaf, &leaves[leaf as usize], &made, size, &root));
    }
    for (old, new, expected) in PROOFS {
        let made = consistency(&mut Plain(&leaves), old, new).unwrap();
        assert_eq!(made, hashes(expected), "{old} to {new}");
        let root = |size: u64| hash(ROOTS[size as usize - 1]);
        assert!(extends(old, &root(old), new, &root(new), &made));
    }
}

#[test]
fn every_pair_up_to_130_leaves_agrees_with_the_definitions() {
    let leaves: Vec<Hash> = (0..130u8).map(|n| Sha256::digest([n]).into()).collect();
    for new in 1..=leaves.len() {
        let tree = mth(&leaves[..new]);
        for m in 0..new {
            let made = inclusion(&mut Plain(&leaves), m as u64, new as u64).unwrap();
            assert_eq!(made, path(m, &leaves[..new]));
            assert!(includes(m as u64, &leaves[m], &made, new as u64, &tree));
            let other = (m + 1) % new;
            assert!(new == 1 || !includes(other as u64, &leaves[m], &made, new as u64, &tree));
        }
        for old in 1..=new {
            let made = consistency(&mut Plain(&leaves), old as u64, new as u64).unwrap();
            assert_eq!(made, subproof(old, &leaves[..new], true), "{old} to {new}");
            assert!(extends(old as u64, &mth(&leaves[..old]), new as u64, &tree, &made));
        }
    }
}

#[test]
fn the_ends_of_consistency() {
    let (nothing, one) = (empty(), [1; 32]);
    assert!(extends(0, &nothing, 0, &nothing, &[]));
    assert!(extends(0, &nothing, 5, &one, &[]), "all logs begin empty");
    assert!(!extends(0, &one, 5, &one, &[]), "an empty log has one root");
    assert!(!extends(0, &nothing, 0, &one, &[]));
    assert!(extends(3, &one, 3, &one, &[]));
    assert!(!extends(3, &one, 3, &[2; 32], &[]));
    assert!(!extends(3, &one, 3, &one, &[one]));
    assert!(!extends(4, &one, 3, &one, &[]), "a log doesn't shrink");
    assert!(!extends(3, &one, 4, &one, &[]), "a proof is needed");
    assert!(!extends(2, &one, 4, &one, &[one; MAX_PATH + 1]));
    assert!(!includes(0, &one, &[one; MAX_PATH + 1], u64::MAX, &one));
    assert!(!includes(1, &one, &[], 1, &one), "no leaf of the tree");
    assert!(!includes(0, &one, &[], 0, &one), "an empty tree has no leaf");
}

#[test]
fn the_largest_tree_is_verified_without_overflow() {
    assert!(!includes(u64::MAX - 1, &[1; 32], &[[2; 32]; MAX_PATH], u64::MAX, &[3; 32]));
    assert!(!extends(u64::MAX - 1, &[1; 32], u64::MAX, &[2; 32], &[[3; 32]; MAX_PATH]));
    assert_eq!(split(u64::MAX), 1 << 63);
    assert_eq!((split(2), split(3), split(4), split(5)), (1, 2, 2, 4));
}

proptest! {
    #[test]
    fn a_frontier_is_the_tree(
        leaves in prop::collection::vec(any::<[u8; 32]>(), 0..600),
        whole_pages in any::<bool>(),
    ) {
        let mut frontier = Frontier::default();
        let page = PAGE_LEAVES as usize;
        let whole = if whole_pages { leaves.len() / page * page } else { 0 };
        for page in leaves[..whole].chunks(page) {
            frontier.push_subtree(mth(page), PAGE_LEAVES);
        }
        leaves[whole..].iter().for_each(|leaf| frontier.push(*leaf));
        prop_assert_eq!(frontier.root(), mth(&leaves));
        prop_assert_eq!(frontier.size(), leaves.len() as u64);
    }

    #[test]
    fn a_changed_proof_is_none(
        size in 2usize..300,
        leaf in any::<prop::sample::Index>(),
        at in any::<prop::sample::Index>(),
        bit in 0usize..256,
        grow in any::<bool>(),
    ) {
        let leaves: Vec<Hash> = (0..size as u64).map(|n| Sha256::digest(n.to_le_bytes()).into()).collect();
        let (leaf, size) = (leaf.index(size) as u64, size as u64);
        let tree = mth(&leaves);
        let mut path = inclusion(&mut Plain(&leaves), leaf, size).unwrap();
        let mut proof = consistency(&mut Plain(&leaves), leaf.max(1), size).unwrap();
        let old = leaf.max(1);
        let old_root = mth(&leaves[..old as usize]);
        prop_assert!(includes(leaf, &leaves[leaf as usize], &path, size, &tree));
        prop_assert!(extends(old, &old_root, size, &tree, &proof));
        for bytes in [&mut path, &mut proof] {
            if grow || bytes.is_empty() {
                bytes.push([7; 32]);
            } else {
                let at = at.index(bytes.len());
                bytes[at][bit / 8] ^= 1 << (bit % 8);
            }
        }
        prop_assert!(!includes(leaf, &leaves[leaf as usize], &path, size, &tree));
        prop_assert!(!extends(old, &old_root, size, &tree, &proof));
    }
}
