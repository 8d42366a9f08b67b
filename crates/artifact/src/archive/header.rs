//! Tar headers as Go's `archive/tar` lays them out: USTAR where the name fits, a PAX record before it otherwise.

/// The unit of a tar stream in bytes.
pub const TAR_BLOCK_BYTES: usize = 512;

const NAME_BYTES: usize = 100;
const PREFIX_BYTES: usize = 155;
/// The first number that eleven octal digits cannot hold.
const OCTAL_END: u64 = 1 << 33;

/// The header of a directory, mode 0750.
pub(super) fn directory(path: &[u8]) -> Vec<u8> {
    header(path, Fields { mode: 0o750, size: 0, modified: 0, kind: b'5' })
}

/// The header of a regular file, mode 0700 or 0600.
pub(super) fn file(path: &[u8], executable: bool, size: u64) -> Vec<u8> {
    regular(path, if executable { 0o700 } else { 0o600 }, size, 0)
}

/// The header of a regular file of `size` bytes, changed `modified` seconds after 1970.
pub fn regular(path: &[u8], mode: u64, size: u64, modified: u64) -> Vec<u8> {
    header(path, Fields { mode, size, modified: modified.min(OCTAL_END - 1), kind: b'0' })
}

/// What a header says beside the name.
#[derive(Clone, Copy)]
struct Fields {
    mode: u64,
    size: u64,
    modified: u64,
    kind: u8,
}

/// The zero bytes that fill the last block of a file's content.
pub fn padding(size: u64) -> &'static [u8] {
    const ZEROS: [u8; TAR_BLOCK_BYTES] = [0; TAR_BLOCK_BYTES];
    let last = (size % TAR_BLOCK_BYTES as u64) as usize;
    if last == 0 { &[] } else { ZEROS.get(last..).unwrap_or_default() }
}

fn header(path: &[u8], fields: Fields) -> Vec<u8> {
    let size = fields.size;
    let plain = path.is_ascii();
    if plain && size < OCTAL_END {
        if path.len() <= NAME_BYTES {
            return main_block(path, b"", fields).to_vec();
        }
        if let Some((prefix, name)) = split(path) {
            return main_block(name, prefix, fields).to_vec();
        }
    }
    let mut records = Vec::new();
    if !plain || path.len() > NAME_BYTES {
        records.extend(pax_record("path", path));
    }
    if size >= OCTAL_END {
        records.extend(pax_record("size", size.to_string().as_bytes()));
    }
    let mut blocks = pax_block(path, records.len()).to_vec();
    blocks.extend_from_slice(&records);
    blocks.extend_from_slice(padding(records.len() as u64));
    let octal_size = if size < OCTAL_END { size } else { 0 };
    blocks.extend_from_slice(&main_block(&ascii(path), b"", Fields { size: octal_size, ..fields }));
    blocks
}

/// Splits a long path at a slash into USTAR's prefix (at most 155 bytes) and name (at most 100).
fn split(path: &[u8]) -> Option<(&[u8], &[u8])> {
    let head = path.get(..PREFIX_BYTES + 1).unwrap_or(path);
    let slash = head.iter().rposition(|&b| b == b'/')?;
    let (prefix, name) = (path.get(..slash)?, path.get(slash + 1..)?);
    (!prefix.is_empty() && !name.is_empty() && name.len() <= NAME_BYTES).then_some((prefix, name))
}

/// `<length> <key>=<value>\n`, where the length counts its own digits.
fn pax_record(key: &str, value: &[u8]) -> Vec<u8> {
    let rest = key.len() + value.len() + 3;
    let mut length = rest + rest.to_string().len();
    if length.to_string().len() > rest.to_string().len() {
        length += 1;
    }
    let mut record = format!("{length} {key}=").into_bytes();
    record.extend_from_slice(value);
    record.push(b'\n');
    record
}

fn pax_block(path: &[u8], size: usize) -> [u8; TAR_BLOCK_BYTES] {
    let slash = path.iter().rposition(|&b| b == b'/').map_or(0, |at| at + 1);
    let (dir, base) = path.split_at(slash);
    let mut name = ascii(&[dir, b"PaxHeaders.0/", base].concat());
    name.truncate(NAME_BYTES);
    while name.last() == Some(&b'/') {
        name.pop();
    }
    let mut header = tar::Header::new_ustar();
    *header.as_mut_bytes() = [0; TAR_BLOCK_BYTES];
    common(&mut header, &name, Fields { mode: 0, size: size as u64, modified: 0, kind: b'x' });
    seal(&mut header)
}

fn main_block(name: &[u8], prefix: &[u8], fields: Fields) -> [u8; TAR_BLOCK_BYTES] {
    let mut header = tar::Header::new_ustar();
    *header.as_mut_bytes() = [0; TAR_BLOCK_BYTES];
    common(&mut header, name, fields);
    if let Some(ustar) = header.as_ustar_mut() {
        octal(&mut ustar.dev_major, 0);
        octal(&mut ustar.dev_minor, 0);
        text(&mut ustar.prefix, prefix);
    }
    seal(&mut header)
}

fn common(header: &mut tar::Header, name: &[u8], fields: Fields) {
    let Fields { mode, size, modified, kind } = fields;
    // The magic decides whether the block may be seen as USTAR, so it comes first.
    if let Some(magic) = header.as_mut_bytes().get_mut(257..265) {
        magic.copy_from_slice(b"ustar\x0000");
    }
    if let Some(ustar) = header.as_ustar_mut() {
        text(&mut ustar.name, name);
        octal(&mut ustar.mode, mode);
        octal(&mut ustar.uid, 0);
        octal(&mut ustar.gid, 0);
        octal(&mut ustar.size, size);
        octal(&mut ustar.mtime, modified);
        ustar.typeflag = [kind];
    }
}

/// Fills in the checksum: the sum of all bytes with the checksum field as blanks, in six digits, NUL and blank.
fn seal(header: &mut tar::Header) -> [u8; TAR_BLOCK_BYTES] {
    if let Some(ustar) = header.as_ustar_mut() {
        ustar.cksum = [b' '; 8];
    }
    let sum = header.as_bytes().iter().map(|&b| u64::from(b)).sum();
    if let Some(ustar) = header.as_ustar_mut()
        && let Some((digits, _)) = ustar.cksum.split_last_chunk_mut::<1>()
    {
        octal(digits, sum);
    }
    *header.as_bytes()
}

/// Zero-padded octal digits that leave the last byte NUL.
fn octal(field: &mut [u8], value: u64) {
    let width = field.len().saturating_sub(1);
    text(field, format!("{value:0width$o}\0").as_bytes());
}

/// Copies as much as fits. A cut that would end in a slash loses it, so that no reader takes a file for a
/// directory.
fn text(field: &mut [u8], value: &[u8]) {
    for (to, from) in field.iter_mut().zip(value) {
        *to = *from;
    }
    if value.len() > field.len()
        && let Some(last) = field.last_mut()
        && *last == b'/'
    {
        *last = 0;
    }
}

fn ascii(path: &[u8]) -> Vec<u8> {
    path.iter().copied().filter(u8::is_ascii).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_beyond_octal_get_the_header_that_go_writes() {
        let ours = [file(b"huge", false, (1 << 33) - 1), file(b"huge", false, 1 << 33), {
            file("é".repeat(60).as_bytes(), false, 1 << 40)
        }];
        assert_eq!(ours.concat(), include_bytes!("../../tests/data/huge.tar"));
    }
}
