//! Bytes from hexadecimal text.

/// The bytes that text spells, spaces and line ends left out.
pub(super) fn hex(text: &str) -> Vec<u8> {
    let digits: Vec<u32> = text.chars().filter_map(|c| c.to_digit(16)).collect();
    let byte = |pair: &[u32]| u8::try_from(pair[0] * 16 + pair[1]);
    digits.chunks_exact(2).map(byte).collect::<Result<_, _>>().expect("two digits are a byte")
}
