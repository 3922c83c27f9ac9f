//! The message representative of ML-DSA, 64 bytes that stand for a message of any length: what is sent of a long one.
//!
//! It needs SHAKE256, which the cryptography library does not offer by itself. Nothing secret is in it, and the signature over
//! it is verified by that library's own.
//!
//! spec: FIPS 204 §6.2 (μ), FIPS 202 §3 and §6.2 (SHAKE256)

/// Bytes of a representative, and of the public key's digest in it.
const LENGTH: usize = 64;
/// Bytes of a block of SHAKE256.
const RATE: usize = 136;
/// What tells SHAKE's messages from those of other functions, with the padding's first bit.
const SUFFIX: u8 = 0x1f;
/// The padding's last bit.
const LAST: u8 = 0x80;

const ROUND_CONSTANTS: [u64; 24] = [
    0x0000_0000_0000_0001,
    0x0000_0000_0000_8082,
    0x8000_0000_0000_808a,
    0x8000_0000_8000_8000,
    0x0000_0000_0000_808b,
    0x0000_0000_8000_0001,
    0x8000_0000_8000_8081,
    0x8000_0000_0000_8009,
    0x0000_0000_0000_008a,
    0x0000_0000_0000_0088,
    0x0000_0000_8000_8009,
    0x0000_0000_8000_000a,
    0x0000_0000_8000_808b,
    0x8000_0000_0000_008b,
    0x8000_0000_0000_8089,
    0x8000_0000_0000_8003,
    0x8000_0000_0000_8002,
    0x8000_0000_0000_0080,
    0x0000_0000_0000_800a,
    0x8000_0000_8000_000a,
    0x8000_0000_8000_8081,
    0x8000_0000_0000_8080,
    0x0000_0000_8000_0001,
    0x8000_0000_8000_8008,
];
/// Where each lane goes in the steps ρ and π, beginning with lane 1, and by how much it is turned.
const MOVES: [(usize, u32); 24] = [
    (10, 1),
    (7, 3),
    (11, 6),
    (17, 10),
    (18, 15),
    (3, 21),
    (5, 28),
    (16, 36),
    (8, 45),
    (21, 55),
    (24, 2),
    (4, 14),
    (15, 27),
    (23, 41),
    (19, 56),
    (13, 8),
    (12, 25),
    (2, 43),
    (20, 62),
    (14, 18),
    (22, 39),
    (9, 61),
    (6, 20),
    (1, 44),
];

/// Returns the representative of a message for the raw public key, with an empty context.
pub(super) fn of(public: &[u8], message: &[u8]) -> [u8; LENGTH] {
    let key = shake256(&[public]);
    // The message as it is, and no context.
    let (is_prehashed, context_length) = (0, 0);
    shake256(&[&key, &[is_prehashed, context_length], message])
}

/// Returns the first bytes of SHAKE256 over the parts, one after the other.
fn shake256(parts: &[&[u8]]) -> [u8; LENGTH] {
    let mut state = [0_u64; 25];
    let mut at = 0;
    for byte in parts.iter().copied().flatten() {
        absorb(&mut state, at, *byte);
        at += 1;
        if at == RATE {
            permute(&mut state);
            at = 0;
        }
    }
    absorb(&mut state, at, SUFFIX);
    absorb(&mut state, RATE - 1, LAST);
    permute(&mut state);
    let mut digest = [0; LENGTH];
    for (bytes, lane) in digest.chunks_mut(8).zip(state) {
        bytes.copy_from_slice(&lane.to_le_bytes());
    }
    digest
}

fn absorb(state: &mut [u64; 25], at: usize, byte: u8) {
    state[at / 8] ^= u64::from(byte) << (at % 8 * 8);
}

/// Keccak-f[1600]. Lane (x, y) is at x + 5 y.
fn permute(state: &mut [u64; 25]) {
    for constant in ROUND_CONSTANTS {
        // θ
        let mut columns = [0; 5];
        for (index, lane) in state.iter().enumerate() {
            columns[index % 5] ^= lane;
        }
        for (index, lane) in state.iter_mut().enumerate() {
            *lane ^= columns[(index + 4) % 5] ^ columns[(index + 1) % 5].rotate_left(1);
        }
        // ρ and π
        let mut carried = state[1];
        for (to, by) in MOVES {
            carried = std::mem::replace(&mut state[to], carried.rotate_left(by));
        }
        // χ
        for row in state.chunks_mut(5) {
            let old = [row[0], row[1], row[2], row[3], row[4]];
            for (x, lane) in row.iter_mut().enumerate() {
                *lane ^= !old[(x + 1) % 5] & old[(x + 2) % 5];
            }
        }
        // ι
        state[0] ^= constant;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Made with Python's hashlib; its cryptography package verifies what is signed over representatives made so.
    #[test]
    fn the_representative_is_of_key_and_message() {
        let expected = "f816b49c2beb83359f7c6ef4bf093dc04c0306606780c7fff635272d67cd2b70481ff70064c0ead786cf34e9a92dbba4f2981593e35a7f7cdd3e47730f423222";
        assert_eq!(hex::encode(of(&[7; 1952], &[7; 4097])), expected);
    }

    /// The first two are of NIST's example values; the others, around the ends of blocks, are what openssl gives for them.
    #[test]
    fn known_values_come_out() {
        let a3 = [0xa3; 200];
        for (message, expected) in [
            (
                b"".as_slice(),
                "46b9dd2b0ba88d13233b3feb743eeb243fcd52ea62b81b82b50c27646ed5762fd75dc4ddd8c0f200cb05019d67b592f6fc821c49479ab48640292eacb3b7c4be",
            ),
            (
                a3.as_slice(),
                "cd8a920ed141aa0407a22d59288652e9d9f1a7ee0c1e7c1ca699424da84a904d2d700caae7396ece96604440577da4f3aa22aeb8857f961c4cd8e06f0ae6610b",
            ),
            (
                &a3[..135],
                "36acdc8ec09dad14523122174245fb10f297998ec08d524d65c90fe57ac0d0066259f116f9d104a4f53eaee2f5916b920fac7ab13816d59de6d52e6b00ff194d",
            ),
            (
                &a3[..136],
                "ed6a19aeeec3d80f588cc95d705e6c3244a0586d2b15fb0f27070f3002e864e0a27342e8672c6f900ca24c26718c189078e5d6d5e360b1ca58572084e57f9204",
            ),
            (
                &a3[..137],
                "fb3cb4ff0b116bbe00040673d4767ef51798acaf30c24f66c73a79421954d698d1384f4f53525aec5b6586215a1f9f32e49fe6bb2947298ea2e1f598b9cb73df",
            ),
        ] {
            assert_eq!(hex::encode(shake256(&[message])), expected);
        }
        let (first, second) = a3.split_at(60);
        assert_eq!(shake256(&[first, second]), shake256(&[&a3]));
    }
}
