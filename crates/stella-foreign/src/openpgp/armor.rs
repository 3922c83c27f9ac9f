//! ASCII armor (RFC 9580 §6): text around the base64 of packets.
//!
//! Headers inside armor and text outside of it are passed over; nothing of them is signed.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::FORMAT;
use crate::ForeignError;

pub(super) const SIGNATURE: &str = "PGP SIGNATURE";
pub(super) const PUBLIC_KEY: &str = "PGP PUBLIC KEY BLOCK";

/// More blocks than this in a file are refused; a project's file of all its committers' keys has some hundreds.
const MAX_BLOCKS: usize = 1024;

/// Returns the packets of a binary file, or of all blocks of an armored one.
pub(super) fn to_binary(file: &[u8], label: &'static str) -> Result<Vec<u8>, ForeignError> {
    // spec: RFC 9580 §4.2: the first bit of a packet is 1, that of ASCII text is 0.
    if file.first().is_some_and(|first| first & 0x80 != 0) {
        return Ok(file.to_vec());
    }
    let expected = "packets, or text with an armored block";
    let text = std::str::from_utf8(file)
        .map_err(|_| ForeignError::unexpected(FORMAT, expected, "neither"))?;
    let (mut binary, mut blocks, mut rest) = (Vec::new(), 0, text);
    while let Some((_, after)) = rest.split_once("-----BEGIN ") {
        blocks += 1;
        if blocks > MAX_BLOCKS {
            return Err(ForeignError::TooLarge {
                what: "a list of armored blocks",
                length: blocks,
                limit: MAX_BLOCKS,
            });
        }
        let (found, after) = after.split_once("-----").unwrap_or((after, ""));
        require_label(label, found)?;
        let end = format!("-----END {label}-----");
        let Some((body, after)) = after.split_once(end.as_str()) else {
            return Err(ForeignError::unexpected(
                FORMAT,
                "the end of the armor",
                "none",
            ));
        };
        binary.extend(decode(body)?);
        rest = after;
    }
    if blocks == 0 {
        return Err(ForeignError::unexpected(FORMAT, expected, "neither"));
    }
    Ok(binary)
}

fn require_label(expected: &'static str, found: &str) -> Result<(), ForeignError> {
    match found {
        _ if found == expected => Ok(()),
        "PGP PRIVATE KEY BLOCK" => Err(ForeignError::unsupported(FORMAT, "a private key")),
        "PGP SIGNED MESSAGE" => Err(ForeignError::unsupported(FORMAT, "a clear-signed message")),
        "PGP MESSAGE" => {
            let feature = "a message that holds its content";
            Err(ForeignError::unsupported(FORMAT, feature))
        }
        _ => Err(ForeignError::unexpected(
            FORMAT,
            expected,
            found.chars().take(40).collect::<String>(),
        )),
    }
}

/// Decodes what stands between the first and the last line: headers, an empty line, base64, perhaps a checksum.
fn decode(body: &str) -> Result<Vec<u8>, ForeignError> {
    let mut lines = body.lines().map(str::trim_end);
    // The rest of the first line is empty.
    lines.next();
    let (mut data, mut checksum) = (String::new(), None);
    let mut in_headers = true;
    for line in lines {
        if in_headers && (line.is_empty() || line.contains(": ") || line.ends_with(':')) {
            in_headers = !line.is_empty();
            continue;
        }
        in_headers = false;
        match line.strip_prefix('=') {
            Some(sum) => checksum = Some(sum),
            None if checksum.is_some() && !line.is_empty() => {
                return Err(ForeignError::unexpected(
                    FORMAT,
                    "the end of the armor",
                    "a line",
                ));
            }
            None => data.push_str(line),
        }
    }
    let base64 = |text: &str| {
        STANDARD
            .decode(text)
            .map_err(|_| ForeignError::unexpected(FORMAT, "base64", "something else"))
    };
    let binary = base64(&data)?;
    // spec: RFC 9580 §6.1: the checksum may be absent; one that is there and wrong tells of damage.
    if let Some(sum) = checksum
        && base64(sum)? != crc24(&binary)
    {
        return Err(ForeignError::unexpected(
            FORMAT,
            "the checksum of the armor",
            "another",
        ));
    }
    Ok(binary)
}

/// Computes the checksum of RFC 9580 §6.1.1.
fn crc24(bytes: &[u8]) -> [u8; 3] {
    const START: u32 = 0x00b7_04ce;
    const POLYNOMIAL: u32 = 0x0186_4cfb;
    let mut sum = START;
    for byte in bytes {
        sum ^= u32::from(*byte) << 16;
        for _ in 0..8 {
            sum <<= 1;
            if sum & 0x0100_0000 != 0 {
                sum ^= POLYNOMIAL;
            }
        }
    }
    let [_, high, middle, low] = sum.to_be_bytes();
    [high, middle, low]
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;

    fn armored(body: &str) -> String {
        format!("-----BEGIN PGP SIGNATURE-----\n{body}-----END PGP SIGNATURE-----\n")
    }

    #[test]
    fn blocks_with_headers_without_and_one_after_the_other_are_read() {
        for body in [
            "Version: x\nComment: y\n\nAQID\n=",
            "\nAQID\n=",
            "\nAQ\nID\n=",
        ] {
            let sum = STANDARD.encode(crc24(&[1, 2, 3]));
            let one = armored(&format!("{body}{sum}\n"));
            assert_eq!(to_binary(one.as_bytes(), SIGNATURE).unwrap(), [1, 2, 3]);
            let two = format!("text\n{one}between\n{}", armored("\nBAUG\n"));
            let both = to_binary(two.as_bytes(), SIGNATURE).unwrap();
            assert_eq!(both, [1, 2, 3, 4, 5, 6]);
        }
    }

    #[test]
    fn damage_and_other_blocks_are_refused() {
        for text in [
            armored("\nAQID\n=AAAA\n"),
            armored("\nAQI\n"),
            armored("\nAQID\n=ywQ=\nAQID\n"),
            "-----BEGIN PGP SIGNATURE-----\n\nAQID\n".to_owned(),
            "-----BEGIN PGP MESSAGE-----\n\nAQID\n-----END PGP MESSAGE-----\n".to_owned(),
            "hello".to_owned(),
            String::new(),
        ] {
            assert!(to_binary(text.as_bytes(), SIGNATURE).is_err(), "{text}");
        }
    }
}
