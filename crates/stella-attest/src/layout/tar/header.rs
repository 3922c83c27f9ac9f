//! The 512 bytes before each entry of a tar file (POSIX.1-2017, pax, "ustar Interchange Format"), and what pax and GNU put
//! before them where they do not suffice.

use super::EntryProblem;

/// Headers and content are padded to so many bytes.
pub(super) const BLOCK: usize = 512;
/// Bytes of a pax header or of a long name.
pub(super) const MAX_EXTENSION: u64 = 64 << 10;
/// The length of the name field in bytes.
const NAME: usize = 100;
/// The greatest size that eleven octal digits can say.
const MAX_OCTAL: u64 = 0o777_7777_7777;

/// What a header says.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Header {
    /// The name, with the prefix.
    pub(super) name: Vec<u8>,
    /// The length of the content in bytes.
    pub(super) size: u64,
    /// What the entry is.
    pub(super) kind: Kind,
}

/// What an entry is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    File,
    Folder,
    /// The next entry's name (GNU).
    LongName,
    /// The next entry's target (GNU).
    LongTarget,
    /// Words about all later entries (pax).
    PaxGlobal,
    /// Words about the next entry (pax).
    PaxNext,
    /// A link, a device, or what nobody knows.
    Other(u8),
}

/// What was said about the next entry before its header.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Extension {
    pub(super) name: Option<Vec<u8>>,
    pub(super) size: Option<u64>,
}

/// Reads a header; none for the block of zeros at the end.
pub(super) fn parse(block: &[u8; BLOCK]) -> Result<Option<Header>, EntryProblem> {
    if block.iter().all(|byte| *byte == 0) {
        return Ok(None);
    }
    if number(&block[148..156]) != Ok(checksum(block)) {
        return Err(EntryProblem::Checksum);
    }
    let mut name = text(&block[..NAME]).to_vec();
    // Only POSIX has a prefix; old GNU headers have other things in its place.
    if &block[257..263] == b"ustar\0" {
        let prefix = text(&block[345..500]);
        if !prefix.is_empty() {
            name = [prefix, b"/", &name].concat();
        }
    }
    let kind = match block[156] {
        // Old archives mark folders by the name alone.
        b'0' | 0 | b'7' if name.ends_with(b"/") => Kind::Folder,
        b'0' | 0 | b'7' => Kind::File,
        b'5' => Kind::Folder,
        b'L' => Kind::LongName,
        b'K' => Kind::LongTarget,
        b'g' => Kind::PaxGlobal,
        b'x' => Kind::PaxNext,
        other => Kind::Other(other),
    };
    let size = number(&block[124..136])?;
    Ok(Some(Header { name, size, kind }))
}

/// Reads the records of a pax header, each `LENGTH KEY=VALUE\n`.
pub(super) fn parse_pax(mut records: &[u8]) -> Result<Extension, EntryProblem> {
    let mut extension = Extension::default();
    while !records.is_empty() {
        let space = records.iter().position(|byte| *byte == b' ');
        let digits = &records[..space.ok_or(EntryProblem::Extension)?];
        let length = decimal(digits).ok_or(EntryProblem::Extension)?;
        let length = usize::try_from(length).map_err(|_| EntryProblem::Extension)?;
        let record = records.get(digits.len() + 1..length);
        let record = record.and_then(|record| record.strip_suffix(b"\n"));
        let record = record.ok_or(EntryProblem::Extension)?;
        let equals = record.iter().position(|byte| *byte == b'=');
        let (key, value) = record.split_at(equals.ok_or(EntryProblem::Extension)?);
        match key {
            b"path" => extension.name = Some(value[1..].to_vec()),
            b"size" => extension.size = Some(decimal(&value[1..]).ok_or(EntryProblem::Number)?),
            // A sparse file's content is not what stands in the archive.
            key if key.starts_with(b"GNU.sparse.") => return Err(EntryProblem::Kind(b'S')),
            _ => {}
        }
        records = &records[length..];
    }
    Ok(extension)
}

/// Returns the name that GNU put before an entry.
pub(super) fn parse_long_name(content: &[u8]) -> Vec<u8> {
    text(content).to_vec()
}

/// Writes the header of a file or folder: the same for the same name and size, whoever writes it and when.
pub(super) fn write(name: &str, size: u64, kind: Kind) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut records = Vec::new();
    if name.len() > NAME {
        records.extend(pax_record("path", name));
    }
    if size > MAX_OCTAL {
        records.extend(pax_record("size", &size.to_string()));
    }
    if !records.is_empty() {
        bytes.extend(block("pax", records.len() as u64, b'x'));
        bytes.extend(&records);
        bytes.resize(bytes.len().next_multiple_of(BLOCK), 0);
    }
    let flag = if kind == Kind::Folder { b'5' } else { b'0' };
    bytes.extend(block(name, size.min(MAX_OCTAL), flag));
    bytes
}

/// Makes one header.
pub(super) fn block(name: &str, size: u64, flag: u8) -> [u8; BLOCK] {
    let mut block = [0; BLOCK];
    let mode = if flag == b'5' { 0o755 } else { 0o644 };
    let mut put = |at: usize, field: &[u8]| block[at..at + field.len()].copy_from_slice(field);
    put(0, &name.as_bytes()[..name.len().min(NAME)]);
    put(100, format!("{mode:07o}\0").as_bytes());
    put(108, b"0000000\0");
    put(116, b"0000000\0");
    put(124, format!("{size:011o}\0").as_bytes());
    put(136, b"00000000000\0");
    put(156, &[flag]);
    put(257, b"ustar\x0000");
    let sum = checksum(&block);
    block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    block
}

/// Returns a record, whose length counts its own digits.
fn pax_record(key: &str, value: &str) -> Vec<u8> {
    let rest = key.len() + value.len() + 3;
    let mut length = rest + 1;
    while length != rest + length.to_string().len() {
        length = rest + length.to_string().len();
    }
    format!("{length} {key}={value}\n").into_bytes()
}

/// The sum of all bytes, with spaces for its own field.
fn checksum(block: &[u8; BLOCK]) -> u64 {
    let all: u64 = block.iter().map(|byte| u64::from(*byte)).sum();
    let own: u64 = block[148..156].iter().map(|byte| u64::from(*byte)).sum();
    all - own + 8 * u64::from(b' ')
}

/// Reads octal digits, or GNU's binary form for greater numbers.
fn number(field: &[u8]) -> Result<u64, EntryProblem> {
    if field.first() == Some(&0x80) {
        let (high, low) = field[1..].split_at(field.len().saturating_sub(9));
        let mut value = 0_u64;
        for byte in low {
            value = value << 8 | u64::from(*byte);
        }
        let is_small = high.iter().all(|byte| *byte == 0);
        return is_small.then_some(value).ok_or(EntryProblem::Number);
    }
    let digits = text(field).trim_ascii();
    let mut value = 0_u64;
    for digit in digits {
        if !matches!(digit, b'0'..=b'7') {
            return Err(EntryProblem::Number);
        }
        // Twelve digits of three bits each fit.
        value = value << 3 | u64::from(digit - b'0');
    }
    Ok(value)
}

fn decimal(digits: &[u8]) -> Option<u64> {
    let is_plain = !digits.is_empty() && digits.iter().all(u8::is_ascii_digit);
    let digits = str::from_utf8(digits).ok().filter(|_| is_plain)?;
    digits.parse().ok()
}

/// Returns the bytes before the first zero.
fn text(field: &[u8]) -> &[u8] {
    field.split(|byte| *byte == 0).next().unwrap_or_default()
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;

    #[test]
    fn a_header_reads_back_what_it_says() {
        let bytes = write("index.json", 7, Kind::File);
        let header = parse(&bytes.try_into().unwrap()).unwrap().unwrap();
        let expected = Header {
            name: b"index.json".to_vec(),
            size: 7,
            kind: Kind::File,
        };
        assert_eq!(header, expected);
        assert_eq!(parse(&[0; BLOCK]), Ok(None));
    }

    #[test]
    fn long_names_and_great_sizes_stand_in_a_pax_header() {
        let name = format!("blobs/sha512/{}", "a".repeat(128));
        let size = 9 << 30;
        let bytes = write(&name, size, Kind::File);
        assert_eq!(bytes.len(), 3 * BLOCK);
        let pax = parse(&bytes[..BLOCK].try_into().unwrap()).unwrap().unwrap();
        assert_eq!(pax.kind, Kind::PaxNext);
        let records = &bytes[BLOCK..][..usize::try_from(pax.size).unwrap()];
        let extension = parse_pax(records).unwrap();
        assert_eq!(extension.name.unwrap(), name.as_bytes());
        assert_eq!(extension.size, Some(size));
    }

    #[test]
    fn a_record_counts_its_own_digits() {
        for length in 90..110 {
            let record = pax_record("path", &"a".repeat(length));
            assert_eq!(parse_pax(&record).unwrap().name.unwrap().len(), length);
        }
    }

    #[test]
    fn headers_that_do_not_hold_are_refused() {
        let mut bytes: [u8; BLOCK] = write("a", 1, Kind::File).try_into().unwrap();
        bytes[0] = b'b';
        assert_eq!(parse(&bytes), Err(EntryProblem::Checksum));
        for (records, problem) in [
            (&b"9"[..], EntryProblem::Extension),
            (b"3 a", EntryProblem::Extension),
            (b"99 path=a\n", EntryProblem::Extension),
            (b"0 path=a\n", EntryProblem::Extension),
            (b"-1 path=a\n", EntryProblem::Extension),
            (b"6 path\n", EntryProblem::Extension),
            (b"10 size=x\n", EntryProblem::Number),
            (b"20 GNU.sparse.map=0\n", EntryProblem::Kind(b'S')),
        ] {
            assert_eq!(parse_pax(records), Err(problem), "{records:?}");
        }
    }

    #[test]
    fn gnus_binary_numbers_are_read() {
        let mut field = [0; 12];
        field[0] = 0x80;
        field[11] = 5;
        field[7] = 1;
        assert_eq!(number(&field), Ok((1 << 32) + 5));
        field[3] = 1;
        assert_eq!(number(&field), Err(EntryProblem::Number));
        assert_eq!(number(b"0000008\0"), Err(EntryProblem::Number));
        assert_eq!(number(b"     17 "), Ok(0o17));
    }
}
