//! Numbers of JSON, compared as they are written: no digit is rounded, no magnitude overflows.

use std::cmp::Ordering;
use std::fmt;

/// Numbers with more characters than this are refused.
const MAX_LENGTH: usize = 400;

/// A decimal number: `0.DIGITS` times ten to the power `point`, with its sign. Zero has no digits and no sign.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Number {
    is_negative: bool,
    /// Without zeros at either end.
    digits: Vec<u8>,
    point: i64,
    text: String,
}

impl Number {
    /// Reads a number as JSON writes it (RFC 8259 §6), none when the text is something else or longer than any number.
    pub fn parse(text: &str) -> Option<Self> {
        let (is_negative, rest) = match text.strip_prefix('-') {
            Some(rest) => (true, rest),
            None => (false, text),
        };
        let (mantissa, exponent) = match rest.find(['e', 'E']) {
            Some(at) => (&rest[..at], parse_exponent(&rest[at + 1..])?),
            None => (rest, 0),
        };
        let (whole, fraction) = match mantissa.split_once('.') {
            Some((whole, fraction)) if !fraction.is_empty() => (whole, fraction),
            Some(_) => return None,
            None => (mantissa, ""),
        };
        let is_digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
        let is_whole = whole == "0" || !(whole.is_empty() || whole.starts_with('0'));
        if text.len() > MAX_LENGTH || !is_whole || !is_digits(whole) || !is_digits(fraction) {
            return None;
        }
        let all: Vec<u8> = whole.bytes().chain(fraction.bytes()).collect();
        let zeros = all.iter().take_while(|digit| **digit == b'0').count();
        let mut digits = all[zeros..].to_vec();
        while digits.last() == Some(&b'0') {
            digits.pop();
        }
        let is_zero = digits.is_empty();
        let point = i64::try_from(whole.len()).ok()? - i64::try_from(zeros).ok()? + exponent;
        Some(Self {
            is_negative: is_negative && !is_zero,
            point: if is_zero { 0 } else { point },
            digits,
            text: text.to_owned(),
        })
    }

    /// Returns the number as it was written.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Says whether two numbers are one, however each is written.
    pub fn is(&self, other: &Self) -> bool {
        self.compare(other) == Ordering::Equal
    }

    /// Compares the values.
    pub fn compare(&self, other: &Self) -> Ordering {
        let magnitude = || match (self.digits.is_empty(), other.digits.is_empty()) {
            (true, true) => Ordering::Equal,
            (true, false) => Ordering::Less,
            (false, true) => Ordering::Greater,
            (false, false) => (self.point, &self.digits).cmp(&(other.point, &other.digits)),
        };
        match (self.is_negative, other.is_negative) {
            (true, false) => Ordering::Less,
            (false, true) => Ordering::Greater,
            (false, false) => magnitude(),
            (true, true) => magnitude().reverse(),
        }
    }
}

impl fmt::Display for Number {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.text)
    }
}

/// Exponents have at most nine digits here, so that no sum of them overflows.
fn parse_exponent(text: &str) -> Option<i64> {
    let digits = text.strip_prefix(['+', '-']).unwrap_or(text);
    let is_number =
        (1..=9).contains(&digits.len()) && digits.bytes().all(|byte| byte.is_ascii_digit());
    let value = digits.parse::<i64>().ok().filter(|_| is_number)?;
    Some(if text.starts_with('-') { -value } else { value })
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn compare(left: &str, right: &str) -> Ordering {
        Number::parse(left)
            .unwrap()
            .compare(&Number::parse(right).unwrap())
    }

    #[test]
    fn numbers_are_compared_to_the_last_digit() {
        for (left, right, expected) in [
            ("0", "-0.0e5", Ordering::Equal),
            ("1.0", "1", Ordering::Equal),
            ("1e2", "100.00", Ordering::Equal),
            ("9007199254740993", "9007199254740992", Ordering::Greater),
            ("0.1", "0.10000000000000000001", Ordering::Less),
            ("1e999999999", "1e999999998", Ordering::Greater),
            ("-2", "-1", Ordering::Less),
            ("-1", "0", Ordering::Less),
            ("0.05", "0.5", Ordering::Less),
            ("10", "9", Ordering::Greater),
        ] {
            assert_eq!(compare(left, right), expected, "{left} {right}");
            assert_eq!(compare(right, left), expected.reverse(), "{right} {left}");
        }
    }

    #[test]
    fn what_json_does_not_write_is_no_number() {
        let long = "1".repeat(MAX_LENGTH + 1);
        for text in [
            "",
            "-",
            "01",
            ".5",
            "5.",
            "1e",
            "1e+",
            "+1",
            "0x1",
            "NaN",
            "1_0",
            "1e1234567890",
            &long,
            "--1",
        ] {
            assert_eq!(Number::parse(text), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn whole_numbers_compare_as_the_machine_compares_them(left: i128, right: i128) {
            prop_assert_eq!(compare(&left.to_string(), &right.to_string()), left.cmp(&right));
        }
    }
}
