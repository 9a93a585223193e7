//! Times as Marathon writes them.

use std::ops::Range;

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::Offset;

/// The form of every time that Marathon itself writes.
const USUAL_FORM: &[u8; 24] = b"0000-00-00T00:00:00.000Z";

/// Parses a time. The usual form takes a quarter of the instructions of any other, and an answer has
/// several times for each task.
pub(super) fn parse_timestamp(text: &str) -> Option<Timestamp> {
    parse_usual_form(text).or_else(|| text.parse().ok())
}

/// Parses a time in the usual form. What is not a time of the calendar is left to jiff, which takes
/// a leap second for the second before.
fn parse_usual_form(text: &str) -> Option<Timestamp> {
    let bytes: &[u8; 24] = text.as_bytes().try_into().ok()?;
    let fits = |byte: u8, form: u8| match form {
        b'0' => byte.is_ascii_digit(),
        _ => byte == form,
    };
    // Without an early end the processor compares many bytes at once.
    let all_fit = bytes.iter().zip(USUAL_FORM).fold(true, |all, (b, form)| all & fits(*b, *form));
    if !all_fit {
        return None;
    }
    let four = |at: Range<usize>| {
        bytes[at].iter().fold(0_i16, |number, digit| number * 10 + i16::from(digit - b'0'))
    };
    let two =
        |at: usize| 10 * (bytes[at] - b'0').cast_signed() + (bytes[at + 1] - b'0').cast_signed();
    let nanos = i32::from(four(20..23)) * 1_000_000;
    let civil = DateTime::new(four(0..4), two(5), two(8), two(11), two(14), two(17), nanos).ok()?;
    Offset::UTC.to_timestamp(civil).ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn times_of_marathon_have_the_usual_form() {
        for text in
            ["2017-02-03T23:06:03.940Z", "2024-02-29T00:00:00.000Z", "1969-12-31T23:59:59.999Z"]
        {
            assert_eq!(parse_usual_form(text), Some(text.parse().unwrap()), "{text}");
        }
    }

    #[test]
    fn other_forms_are_left_to_jiff() {
        let same =
            ["2016-12-31T23:59:60.000Z", "2017-02-03T23:06:03.940+01:00", "2017-02-03T23:06:03Z"];
        for text in same {
            assert_eq!(parse_usual_form(text), None, "{text}");
            assert_eq!(parse_timestamp(text), Some(text.parse().unwrap()), "{text}");
        }
        for text in
            ["", "2023-02-29T00:00:00.000Z", "2017-02-03T23:06:03.94äZ", "2017-02-03T24:00:00.000Z"]
        {
            assert_eq!(parse_timestamp(text), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn all_texts_are_read_as_jiff_reads_them(
            text in "[0-9]{4}-[01][0-9]-[0-3][0-9][Tt ][0-2][0-9]:[0-6][0-9]:[0-6][0-9][.,][0-9]{3}[Zz]",
        ) {
            prop_assert_eq!(parse_timestamp(&text), text.parse().ok());
        }

        #[test]
        fn any_text_is_read_as_jiff_reads_it(text in ".{0,24}") {
            prop_assert_eq!(parse_timestamp(&text), text.parse().ok());
        }
    }
}
