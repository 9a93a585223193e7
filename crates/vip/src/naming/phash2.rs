//! Erlang's `phash2` of a binary, by which DC/OS gave names their IPv4 addresses.

/// The golden ratio of Bob Jenkins's hash.
const GOLDEN: u32 = 0x9e37_79b9;

/// The start value that Erlang uses for binaries: 13 times [`GOLDEN`].
const BINARY: u32 = GOLDEN.wrapping_mul(13);

/// Returns `erlang:phash2(Bytes, 1 bsl 32)`: Bob Jenkins's "lookup2" with the start value of
/// binaries (`erts/emulator/beam/utils.c`, `block_hash`).
#[must_use]
pub fn phash2(bytes: &[u8]) -> u32 {
    let (mut a, mut b, mut c) = (GOLDEN, GOLDEN, BINARY);
    let blocks = bytes.chunks_exact(12);
    let rest = blocks.remainder();
    for block in blocks {
        a = a.wrapping_add(little_endian(&block[0..4]));
        b = b.wrapping_add(little_endian(&block[4..8]));
        c = c.wrapping_add(little_endian(&block[8..12]));
        (a, b, c) = mix(a, b, c);
    }
    // The lowest byte of `c` is the length; as in the original, only its low 32 bits count.
    #[allow(clippy::cast_possible_truncation, reason = "as the original does")]
    let len = bytes.len() as u32;
    c = c.wrapping_add(len);
    let part = |from: usize, to: usize| rest.get(from..rest.len().min(to)).unwrap_or_default();
    a = a.wrapping_add(little_endian(part(0, 4)));
    b = b.wrapping_add(little_endian(part(4, 8)));
    c = c.wrapping_add(little_endian(part(8, 12)) << 8);
    mix(a, b, c).2
}

/// Reads at most four bytes, the lowest first.
fn little_endian(bytes: &[u8]) -> u32 {
    bytes.iter().rev().fold(0, |value, byte| value << 8 | u32::from(*byte))
}

fn mix(mut a: u32, mut b: u32, mut c: u32) -> (u32, u32, u32) {
    let step = |x: u32, y: u32, z: u32| x.wrapping_sub(y).wrapping_sub(z);
    for [first, second, third] in [[13, 8, 13], [12, 16, 5], [3, 10, 15]] {
        a = step(a, b, c) ^ (c >> first);
        b = step(b, c, a) ^ (a << second);
        c = step(c, a, b) ^ (b >> third);
    }
    (a, b, c)
}
