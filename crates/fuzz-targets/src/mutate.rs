//! Mutation of inputs.

use fastrand::Rng;

/// Longest input.
const MAX_INPUT: usize = 1 << 16;

/// Pieces of the grammars, which random bytes rarely hit.
const WORDS: [&str; 40] = [
    "\"id\":",
    "\"apps\":",
    "\"groups\":",
    "\"tasks\":",
    "\"labels\":",
    "\"ports\":",
    "null",
    "{}",
    "[]",
    "{\"VIP_0\":\"3.3.0.6:80\"}",
    "VIP_0",
    "IPVS_SCHEDULER",
    "3.3.0.6:3306",
    "/name:80",
    "[fd01::1]:80",
    "\\u0000",
    "\\ud800",
    "\\\"",
    "../",
    "/./",
    "\u{202e}",
    "\u{feff}",
    "data:",
    "event:",
    "\r\n\r\n",
    "\r",
    "\n",
    "-> ",
    "TCP  ",
    "0A000001:7919",
    " Masq ",
    "[[marathon]]",
    "urls = [\"http://m:8080\"]",
    "= -1",
    "1e999",
    "99999999999999999999",
    "0x",
    "%00",
    ":0",
    "\0\0\0\0",
];

/// Makes an input from one or two of the corpus by a few random changes.
pub(crate) fn mutate_one(corpus: &[Vec<u8>], random: &mut Rng) -> Vec<u8> {
    let pick = |random: &mut Rng| &corpus[random.usize(..corpus.len())];
    let mut input = pick(random).clone();
    for _ in 0..random.usize(1..6) {
        let at = random.usize(..=input.len());
        match random.u8(..8) {
            0 => input.insert(at, random.u8(..)),
            1 if at < input.len() => input[at] ^= 1 << random.u8(..8),
            2 if at < input.len() => input[at] = random.u8(..),
            3 => input.truncate(at),
            4 => {
                let end = random.usize(at..=input.len());
                input.drain(at..end);
            }
            5 => {
                let word = WORDS[random.usize(..WORDS.len())];
                input.splice(at..at, word.bytes());
            }
            // A part of the same or another input, once or often.
            _ => {
                let other = pick(random);
                let start = random.usize(..=other.len());
                let part = &other[start..random.usize(start..=other.len())];
                let times = if random.u8(..16) == 0 { 64 } else { 1 };
                input.splice(at..at, part.repeat(times));
            }
        }
        input.truncate(MAX_INPUT);
    }
    input
}
